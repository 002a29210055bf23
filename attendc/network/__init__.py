"""What a model file computes, whatever its format: a node for each operator, and a drawing of them."""
