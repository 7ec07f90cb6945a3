//! HTTP out: REST, server-sent events and the embed feed.
