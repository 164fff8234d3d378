"""Numbers and names that others published: price lists, the paper's tables, the released scripts' flags."""
