//! The limits of a transport and its connections, each taken from the settings, which carry the reasons.

use std::time::Duration;

use crate::base::settings::Settings;

/// What a transport and a connection never exceed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most bytes of a frame, header included.
    pub frame_bytes_max: u32,
    /// Most bytes queued to one peer.
    pub peer_bytes_in_flight_max: u64,
    /// Most requests that one connection may have under way, in each direction.
    pub requests_in_flight_max: u32,
    /// Most connections that a server has open.
    pub connections_max: u32,
    /// How long the exchange of hellos may take on the side that accepts.
    pub handshake: Duration,
}

impl Limits {
    /// The limits that these settings name.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            frame_bytes_max: settings.frame_bytes_max,
            peer_bytes_in_flight_max: settings.peer_bytes_in_flight_max,
            requests_in_flight_max: settings.requests_in_flight_max,
            connections_max: settings.connections_max,
            handshake: Duration::from_millis(settings.connect_timeout_ms),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::of(&Settings::default())
    }
}
