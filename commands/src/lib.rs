//! Load, decide, append: the write side of the domain.
