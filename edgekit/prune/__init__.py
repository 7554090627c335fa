"""Pruning: whole channels cut out of a float graph, so that what is left is a smaller model like any other."""
