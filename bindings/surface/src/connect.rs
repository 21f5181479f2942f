//! Connecting a client: what languages say made into what the core takes.

use ringkeep::Client;
use ringkeep::base::env::Env;
use ringkeep::base::error::{Error, Result};

use crate::options::ConnectOptions;

pub(crate) async fn connect(_uris: &[String], _options: ConnectOptions, _env: Env) -> Result<Client> {
    Err(Error::not_in_this_version("connect"))
}
