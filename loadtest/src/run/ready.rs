//! Waits until the engine works with the plant.

use std::time::Duration;

use lineside_model::{Error, Result};

use super::LOOK_EVERY;
use crate::clock;
use crate::engine::Engine;

/// How long the engine may take until it reads from the plant.
const START_MAX: Duration = Duration::from_secs(20);

/// Waits until the engine does what it is there for: reads from the broker, writes setpoints, polls.
pub(super) async fn until(engine: &mut Engine, ready: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let latest = clock::monotonic() + START_MAX;
    while !ready().await? {
        engine.check()?;
        if clock::monotonic() >= latest {
            let message = format!("the engine does not work with the plant {} s after its start", START_MAX.as_secs());
            return Err(Error::external(message)
                .hint("the pipeline must read from mqtt://127.0.0.1:${MQTT_PORT}, 127.0.0.1:${KAFKA_PORT} and 127.0.0.1:${PLC_PORT}"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}
