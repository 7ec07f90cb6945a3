//! One binary over real engines. Run it through `make test`, which starts them and says where they are.

mod append;
mod command_path;
mod crate_graph;
mod feed;
mod golden_rows;
mod proxy;
mod several_processes;
mod support;
