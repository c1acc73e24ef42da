"""Graph operations on raw examples, with their inverses: what is trained with is what is exported."""
