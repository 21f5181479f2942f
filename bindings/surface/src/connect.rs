//! Connecting a client: addresses or connection strings, and the options beside them, made into what the core takes.

use std::sync::Arc;

use ringkeep::base::env::Env;
use ringkeep::base::error::{Error, Result};
use ringkeep::base::settings::Settings;
use ringkeep::wire::{Limits, TcpTransport};
use ringkeep::{Client, remote};

use crate::options::{self, ConnectOptions};

/// Where a client looks when nobody says: a node on this machine.
const URI_DEFAULT: &str = "ringkeep://127.0.0.1:7400";

const SCHEME: &str = "ringkeep://";

pub(crate) async fn connect(uris: &[String], said: ConnectOptions, env: Env) -> Result<Client> {
    let options = merge(uris, said).map_err(|error| error.during("connect"))?;
    let settings = Settings::default();
    let transport = Arc::new(TcpTransport::new(&env, Limits::of(&settings)));
    let connected = Client::connect_with(options, settings, env, transport).await;
    connected.map_err(|error| error.during("connect"))
}

/// One set of options of all strings: their addresses together, and each option said in one place only.
fn merge(uris: &[String], said: ConnectOptions) -> Result<remote::ConnectOptions> {
    if said.token.is_some() {
        return Err(Error::not_in_this_version("token"));
    }
    let mut merged = remote::ConnectOptions::default();
    for uri in uris {
        // Among several, an address may stand without the scheme, as a seed does.
        let bare = uris.len() > 1 && !uri.contains("://");
        let parsed =
            remote::ConnectOptions::parse(&if bare { format!("{SCHEME}{uri}") } else { uri.clone() })?;
        merged.addresses.extend(parsed.addresses);
        once("consistency", &mut merged.defaults.consistency, parsed.defaults.consistency)?;
        once("sloppy", &mut merged.defaults.sloppy, parsed.defaults.sloppy)?;
        once("timeout", &mut merged.defaults.timeout, parsed.defaults.timeout)?;
        if !parsed.location.is_empty() {
            merged.location = parsed.location;
        }
    }
    if merged.addresses.is_empty() {
        merged.addresses = remote::ConnectOptions::parse(URI_DEFAULT)?.addresses;
    }
    let level = said.consistency.map(|name| name.parse()).transpose()?;
    once("consistency", &mut merged.defaults.consistency, level)?;
    once("sloppy", &mut merged.defaults.sloppy, said.sloppy)?;
    once("timeout", &mut merged.defaults.timeout, said.timeout_ms.map(options::timeout).transpose()?)?;
    if let Some(location) = said.location.filter(|location| !location.is_empty()) {
        merged.location = location;
    }
    Ok(merged)
}

fn once<T: PartialEq>(name: &str, known: &mut Option<T>, said: Option<T>) -> Result<()> {
    match (&known, &said) {
        (Some(before), Some(now)) if before != now => {
            Err(Error::invalid(format!("{name} is given twice, with different values")))
        }
        (_, None) => Ok(()),
        (_, Some(_)) => {
            *known = said;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_options_are_put_together() {
        let uris = ["ringkeep://a:1,b:2?timeout=2s".to_owned(), "c:3".to_owned()];
        let said = ConnectOptions { consistency: Some("one".to_owned()), ..ConnectOptions::default() };
        let merged = merge(&uris, said).unwrap();
        assert_eq!(merged.addresses, ["a:1", "b:2", "c:3"]);
        assert_eq!(merged.defaults.consistency, Some(ringkeep::ring::Consistency::One));
        let said = ConnectOptions { sloppy: Some(true), ..ConnectOptions::default() };
        assert_eq!(merge(&["ringkeep://a:1".to_owned()], said.clone()).unwrap().defaults.sloppy, Some(true));
        assert!(merge(&["ringkeep://a:1?sloppy=0".to_owned()], said).is_err());
        assert_eq!(merge(&[], ConnectOptions::default()).unwrap().addresses, ["127.0.0.1:7400"]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let uris = ["ringkeep://a:1?timeout=2s".to_owned()];
        let said = ConnectOptions { timeout_ms: Some(500.0), ..ConnectOptions::default() };
        assert!(merge(&uris, said).unwrap_err().message().contains("timeout is given twice"));
        assert!(
            merge(&["a:1".to_owned()], ConnectOptions::default()).is_err(),
            "alone it is a connection string"
        );
    }
}
