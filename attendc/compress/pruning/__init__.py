"""Structured pruning: find what goes together, weigh it, choose within a budget, take it out, let the rest recover.

groups        channels that can only go together, and blocks that can be left out, as plain data
dependencies  how they are found (torch-pruning's dependency graph), and what cannot be pruned
channels      take channels of one group out of a network
columns       grouped convolutions as torch-pruning understands them
importance    what each channel is worth
sensitivity   what the network loses without one part alone
shapes        the layers as numbers, before and after, without touching the network
cost          what a network of such layers costs: MACs, parameters, bytes
budget        from `macs=0.5` to a cost and its limit
select        what may go, what is guarded, what is decided by hand
planner       the choice: greedy on importance lost per cost saved
plan          what goes: plain data, and its JSON
apply         from a plan to a smaller network and the Surgery that its Spec keeps
recover       batch norm statistics, then training, taught by the network as it was
prune         all of it, in one round or several
"""
