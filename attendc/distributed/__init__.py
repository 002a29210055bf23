"""Training by several processes that torchrun started: who leads, what they share, and the network that they train.

The first process does the whole command; the others wait and help it wherever it trains.
"""
