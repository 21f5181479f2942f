//! What the Node.js package loads: conversions between JavaScript values and the surface, and nothing else.
//! Exports that start an operation give the length of its reply: above zero in the shared buffer, below zero in a
//! buffer of its own (`takeLarge`), zero while it is under way and its completion will come through the queue.

#![expect(clippy::needless_pass_by_value, reason = "napi hands arguments over by value")]
#![cfg_attr(test, allow(dead_code, reason = "napi registers functions outside tests only"))]

mod arguments;
mod bucket;
mod cluster;
mod event_loop;
mod guard;
mod handles;
mod reply;
mod store;
