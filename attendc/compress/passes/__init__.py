"""Passes on the float graph, in two lists: each edits the graph that it is given and says what it did."""

from __future__ import annotations

from collections.abc import Sequence

from attendc.compress.passes.adaptive_pools import spell_out_adaptive_pools
from attendc.compress.passes.arithmetic import spell_out_arithmetic
from attendc.compress.passes.attention import spell_out_attention, spell_out_products
from attendc.compress.passes.attention_masks import bound_masks
from attendc.compress.passes.broadcasts import spell_out_broadcasts
from attendc.compress.passes.clamps import spell_out_clamps
from attendc.compress.passes.conv_forms import spell_out_convs
from attendc.compress.passes.decompose import decompose_activations
from attendc.compress.passes.drop_identities import drop_identities
from attendc.compress.passes.drop_no_ops import drop_no_ops
from attendc.compress.passes.flat_linear_as_conv import flat_linear_as_conv
from attendc.compress.passes.fold_bn import fold_bn
from attendc.compress.passes.fold_constants import fold_constants
from attendc.compress.passes.fold_factors import fold_factors
from attendc.compress.passes.free_batch import free_batch
from attendc.compress.passes.free_fixed_ranges import free_fixed_ranges
from attendc.compress.passes.give_biases import give_biases
from attendc.compress.passes.instance_norms import spell_out_instance_norms
from attendc.compress.passes.join_layouts import join_layouts
from attendc.compress.passes.merge_branches import merge_branches
from attendc.compress.passes.merge_convs import merge_convs
from attendc.compress.passes.norms import spell_out_norms
from attendc.compress.passes.pads_into_convs import pads_into_convs
from attendc.compress.passes.permutes import spell_out_permutes
from attendc.compress.passes.permutes_outwards import permutes_outwards
from attendc.compress.passes.pools import spell_out_pools
from attendc.compress.passes.pools_as_convs import pools_as_convs
from attendc.compress.passes.rectifiers import spell_out_rectifiers
from attendc.compress.passes.relu_before_pool import relu_before_pool
from attendc.compress.passes.rolls import spell_out_rolls
from attendc.compress.passes.run import Pass, run_passes
from attendc.compress.passes.share_repeats import share_repeats
from attendc.compress.passes.splits import spell_out_splits
from attendc.compress.passes.transposed_convs import transposed_convs

__all__ = ["FLOAT_PASSES", "INT8_PASSES", "Pass", "run_passes"]

FLOAT_PASSES: Sequence[Pass] = (
    free_batch,
    fold_constants,
    drop_no_ops,
    spell_out_splits,
    spell_out_permutes,
    spell_out_products,
    spell_out_attention,
    spell_out_instance_norms,
    spell_out_rolls,
    spell_out_broadcasts,
    spell_out_convs,
    transposed_convs,
    fold_bn,
    give_biases,
    flat_linear_as_conv,
    pads_into_convs,
    drop_identities,
    merge_branches,
    spell_out_arithmetic,
    decompose_activations,
    fold_factors,
    merge_convs,
    permutes_outwards,
    join_layouts,
    relu_before_pool,
    spell_out_pools,
    spell_out_adaptive_pools,
    share_repeats,
)
"""In this order: reshapes take any strides before copies are dropped, batch norms are folded before biases are given,
pools are spelled out once shapes are final."""

INT8_PASSES: Sequence[Pass] = (
    give_biases,
    bound_masks,
    spell_out_norms,
    spell_out_clamps,
    spell_out_rectifiers,
    fold_factors,
    pools_as_convs,
    free_fixed_ranges,
)
"""What is changed on the way to int8; biases are given there too, for graphs that were simplified without."""
