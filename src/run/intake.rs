//! What a source handed over, made into rows of its planned schema: decoded, stamped, and with what did not decode set apart.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take;
use lineside_connectors::{Decoder, Frames};
use lineside_model::{Error, Result, Timestamp};

use crate::observe::Meter;
use crate::plan::{OnBad, SourcePlan, dead_letters};

/// Decodes and stamps for one source.
#[derive(Debug)]
pub(super) struct Intake {
    name: String,
    decoder: Option<Box<dyn Decoder>>,
    schema: arrow::datatypes::SchemaRef,
    /// For each column of the schema behind the decoded ones: the number of the metadata column, or the time of receipt.
    behind: Vec<Behind>,
    on_bad: OnBad,
    meter: Arc<Meter>,
}

#[derive(Clone, Copy, Debug)]
enum Behind {
    Metadata(usize),
    ReceivedAt,
}

impl Intake {
    /// For a planned source.
    pub(super) fn new(plan: &SourcePlan, meter: &Arc<Meter>) -> Result<Self> {
        let decoder = plan.decoder.as_ref().map(|make| make());
        let decoded = decoder.as_ref().map_or(plan.schema.fields().len(), |d| d.schema().fields().len());
        let metadata = match &plan.planned.gives {
            lineside_connectors::Gives::Frames(schema) => Arc::clone(schema),
            lineside_connectors::Gives::Rows(schema) => Arc::clone(schema),
        };
        let behind = (plan.schema.fields().iter().skip(decoded))
            .map(|field| match metadata.index_of(field.name()) {
                Ok(n) => Ok(Behind::Metadata(n)),
                Err(_) if field.name() == lineside_model::schema::RECEIVED_AT => Ok(Behind::ReceivedAt),
                Err(_) => Err(Error::internal(format!("column \"{}\" is planned and nothing gives it", field.name()))),
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            name: plan.name.clone(),
            decoder,
            schema: Arc::clone(&plan.schema),
            behind,
            on_bad: plan.on_bad,
            meter: Arc::clone(meter),
        })
    }

    /// Rows, and dead letters if there are any and the user wants them.
    pub(super) fn decode(&mut self, frames: &Frames) -> Result<(RecordBatch, Option<RecordBatch>)> {
        let Some(decoder) = &mut self.decoder else {
            return Err(Error::internal(format!("source \"{}\" gave messages and has no codec", self.name)));
        };
        let bytes = frames.payloads.iter().map(bytes::Bytes::len).sum();
        self.meter.messages(frames.payloads.len(), bytes);
        let decoded = decoder.decode(&frames.payloads)?;
        for (_, reason, detail) in &decoded.bad {
            self.meter.drop_rows(*reason, 1);
            if self.meter.sample(*reason, detail) {
                tracing::warn!(reason = reason.word(), detail, "a message did not decode (first of this reason)");
            }
        }
        if self.on_bad == OnBad::Fail
            && let Some((_, reason, detail)) = decoded.bad.first()
        {
            return Err(Error::data(format!(
                "source \"{}\": a message did not decode: {}: {detail}",
                self.name,
                reason.word()
            ))
            .hint("on_bad = \"drop\" or \"dead_letter\" lets the pipeline go on"));
        }
        let dead = if self.on_bad == OnBad::DeadLetter && !decoded.bad.is_empty() {
            Some(self.dead(frames, &decoded.bad)?)
        } else {
            None
        };
        let pick = decoded.message_of_row.map(UInt32Array::from);
        let mut columns = decoded.rows.columns().to_vec();
        for behind in &self.behind {
            let column: ArrayRef = match behind {
                Behind::Metadata(n) => Arc::clone(&frames.metadata[*n]),
                Behind::ReceivedAt => received_at(&frames.received_at),
            };
            columns.push(match &pick {
                Some(pick) => take(&column, pick, None)?,
                None => column,
            });
        }
        self.meter.rows_in(decoded.rows.num_rows());
        Ok((RecordBatch::try_new(Arc::clone(&self.schema), columns)?, dead))
    }

    fn dead(&self, frames: &Frames, bad: &[(u32, lineside_model::Reason, String)]) -> Result<RecordBatch> {
        let times = bad.iter().map(|(n, ..)| frames.received_at[*n as usize]).collect::<Vec<_>>();
        Ok(RecordBatch::try_new(
            dead_letters(),
            vec![
                received_at(&times),
                Arc::new(StringArray::from(vec![self.name.as_str(); bad.len()])),
                Arc::new(bad.iter().map(|(_, reason, _)| Some(reason.word())).collect::<StringArray>()),
                Arc::new(bad.iter().map(|(.., detail)| Some(detail.as_str())).collect::<StringArray>()),
                Arc::new(
                    bad.iter().map(|(n, ..)| Some(frames.payloads[*n as usize].as_ref())).collect::<BinaryArray>(),
                ),
            ],
        )?)
    }
}

fn received_at(times: &[Timestamp]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(times.iter().map(|t| t.0).collect::<Vec<_>>()).with_timezone("UTC"))
}
