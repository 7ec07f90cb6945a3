//! What turns older versions of this aggregate's events into today's.

use cqrs_es::persist::EventUpcaster;

/// In the order of their versions. None yet: every event stands at its first version.
pub fn upcasters() -> Vec<Box<dyn EventUpcaster>> {
    vec![]
}
