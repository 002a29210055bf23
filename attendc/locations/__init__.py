"""Inputs and outputs by path or URI, and what a file or folder hashes to. fsspec is loaded when a URI is met."""

from attendc.locations.content import content_hash, data_hash, memo_path
from attendc.locations.deliver import check_deliverable, deliver
from attendc.locations.fetch import fetch
from attendc.locations.uri import is_uri, redacted

__all__ = ["check_deliverable", "content_hash", "data_hash", "deliver", "fetch", "is_uri", "memo_path", "redacted"]
