"""How what people write is read: names of columns, values in cells, splits, paths."""
