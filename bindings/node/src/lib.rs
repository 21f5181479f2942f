//! What the Node.js package loads: conversions between JavaScript values and the surface, and nothing else.
//! Exports that start an operation give the length of its reply: above zero in the shared buffer, below zero in a
//! buffer of its own (`takeLarge`), zero while it is under way and its completion will come through the queue.

#![expect(clippy::needless_pass_by_value, reason = "napi hands arguments over by value")]

mod arguments;
mod cluster;
mod event_loop;
mod handles;
mod reply;
mod store;
