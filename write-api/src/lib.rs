//! HTTP in: commands, shop webhooks and telemetry.
