//! Paced rows without the engine: how late they are when they are made, which is what the machine's timer and a wake-up cost.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use lineside::observe::{Kind, Meter};
use lineside::plan::bounds::MAX_BATCH_ROWS;
use lineside_connectors::registry::BuildContext;
use lineside_connectors::{Pulled, Source};
use lineside_model::Clock;

use crate::check::Check;
use crate::paced::{Paced, Schedule};
use crate::stopwatch::Stopwatch;

/// Hands rows to the check as soon as they are made.
pub(crate) fn run(
    schedule: Schedule,
    watch: &Arc<Stopwatch>,
    check: &Mutex<Box<dyn Check>>,
    clock: Arc<dyn Clock>,
) -> Result<(), Box<dyn Error>> {
    let meter = Arc::new(Meter::new(Kind::Source, "events"));
    let mut source = Paced::new(schedule, watch, &BuildContext { clock, meter });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        source.open(None).await?;
        while let Pulled::Rows { rows, .. } = source.pull(MAX_BATCH_ROWS).await? {
            check.lock().unwrap_or_else(PoisonError::into_inner).take(&rows)?;
        }
        Ok(())
    })
}
