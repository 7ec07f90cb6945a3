//! One binary over real engines. Run it through `make test`, which starts them and says where they are.

mod append;
mod bad_input;
mod command_path;
mod crate_graph;
mod faults;
mod feed;
mod golden_rows;
mod journey;
mod proxy;
mod served;
mod several_processes;
mod support;
mod tenants;
