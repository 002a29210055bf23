"""Structured pruning: find what goes together, weigh it, choose within a budget, take it out, let the rest recover.

groups      which channels of which layers can only go together (torch-pruning's dependency graph)
importance  what each channel is worth
shapes      the layers as numbers, before and after, without touching the network
cost        what a network of such layers costs: MACs, parameters, bytes
budget      from `macs=0.5` to a cost and its limit
plan        what goes: plain data, and its JSON
planner     the choice: greedy on importance lost per cost saved
apply       from a plan to a smaller network and the Surgery that its Spec keeps
recover     batch norm statistics, then training, taught by the network as it was
sensitivity accuracy of the network with one part pruned or quantized alone
"""
