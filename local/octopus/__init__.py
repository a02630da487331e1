"""A small Octopus: the product's tables, collections and routes, for the demo and the tests.

It keeps its memory where the product keeps it and in the product's shapes, so that a backup has something
real to lose. It has no language model: answers are put together from what is recalled and found.
"""
