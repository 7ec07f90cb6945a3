//! The replay command line: what operators and compliance officers run.
