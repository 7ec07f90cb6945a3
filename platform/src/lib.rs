//! Configuration, telemetry, problem+json and request authentication, for both APIs.
