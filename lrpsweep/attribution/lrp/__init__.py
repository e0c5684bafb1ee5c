"""The engine of layer-wise relevance propagation."""
