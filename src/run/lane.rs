//! A lane: one thread, one current-thread runtime, and the tasks of the components placed on it.

use std::sync::Arc;
use std::thread::JoinHandle;

use futures::future::LocalBoxFuture;
use lineside_connectors::Source;
use lineside_connectors::registry::BuildContext;
use lineside_model::{Clock, Error, Result, Span};
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::edge::InOrder;
use super::sink_task::{self, SinkTask};
use super::source_task::{self, SourceTask};
use super::spread::Spread;
use super::table_source::TableSource;
use super::watermarks::WatermarkTable;
use super::worker_task::{SinkEdge, WorkerTask};
use super::{Stop, meter, priority, workers};
use crate::graph::{Component, Layout};
use crate::observe::{Board, Kind};
use crate::plan::bounds::{
    CONTROL_BATCH_ROWS, DRAIN_BULK, DRAIN_CONTROL, EDGE_MESSAGES, MAX_BATCH_ROWS, TOLD_MESSAGES,
};
use crate::plan::{Input, Plan};

type Task = Box<dyn FnOnce() -> LocalBoxFuture<'static, Result<()>> + Send>;

/// What a lane is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Control that field buses alone feed: there is as much to do as they are polled for.
    Paced,
    /// Control that others feed as well. They must not be able to take the machine, nor to hold up the loops above.
    Control,
    /// Everything else.
    Bulk,
}

impl Purpose {
    fn of(component: &Component) -> Self {
        match (component.control, component.paced) {
            (true, true) => Self::Paced,
            (true, false) => Self::Control,
            (false, _) => Self::Bulk,
        }
    }
}

/// A lane that is being filled.
pub(super) struct Draft {
    name: String,
    purpose: Purpose,
    /// Whether it runs in front of everything else on the machine, if the system permits it; for control that does not, why.
    realtime: Result<(), Option<&'static str>>,
    tasks: Vec<Task>,
}

/// A lane that runs.
#[derive(Debug)]
pub(super) struct Lane {
    thread: JoinHandle<Result<()>>,
}

impl Draft {
    /// The lanes that a layout needs on this machine: up to two for control and one for each bulk worker, or one for all where
    /// there is only one core, since two busy threads on one core delay control by whole scheduler slices.
    pub(super) fn of(plan: &Plan, layout: &Layout) -> Vec<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let has = |purpose| layout.components.iter().any(|component| Purpose::of(component) == purpose);
        let lane = |name: String, purpose| {
            let realtime = match purpose {
                Purpose::Bulk => Err(None),
                _ if !plan.realtime => Err(None),
                Purpose::Control if cores == 1 => Err(Some("there is one core, and everything shares a lane")),
                Purpose::Control => Err(Some("it is fed by more than field buses")),
                Purpose::Paced => Ok(()),
            };
            Self { name, purpose, realtime, tasks: Vec::new() }
        };
        if cores == 1 {
            let control = has(Purpose::Paced) || has(Purpose::Control);
            return vec![lane("lane".to_owned(), if control { Purpose::Control } else { Purpose::Bulk })];
        }
        let mut lanes = Vec::new();
        if has(Purpose::Paced) {
            lanes.push(lane("control".to_owned(), Purpose::Paced));
        }
        if has(Purpose::Control) {
            lanes.push(lane("control-fed".to_owned(), Purpose::Control));
        }
        if has(Purpose::Bulk) {
            lanes.extend((0..plan.workers).map(|n| lane(format!("bulk-{n}"), Purpose::Bulk)));
        }
        lanes
    }

    /// Starts the thread.
    pub(super) fn start(self, stop: &Stop) -> Result<Lane> {
        let (name, stop) = (self.name.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || run(self, &stop))
            .map_err(|e| Error::external(format!("lane \"{name}\" got no thread")).caused_by(e))?;
        Ok(Lane { thread })
    }

    fn push<F>(&mut self, task: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = Result<()>> + 'static,
    {
        self.tasks.push(Box::new(move || Box::pin(task())));
    }
}

impl Lane {
    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    pub(super) fn join(self) -> Result<()> {
        self.thread.join().unwrap_or_else(|_| Err(Error::internal("a lane panicked")))
    }
}

/// Runs the tasks of a lane. The first that fails stops the pipeline; the others then come to their end by themselves.
fn run(lane: Draft, stop: &Stop) -> Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    match lane.realtime {
        // Threads that help it, such as one that looks up a host, are in no hurry.
        Ok(()) if priority::raise() => {
            runtime.on_thread_start(priority::lower);
        }
        Ok(()) | Err(None) => {}
        Err(Some(why)) => tracing::info!(lane = lane.name, why, "control runs at normal priority"),
    }
    // One queue for all tasks of the lane, those of connectors too.
    let runtime = runtime.enable_all().build_local(LocalOptions::default());
    let runtime = runtime.map_err(|e| Error::external("no I/O runtime was made").caused_by(e))?;
    runtime.block_on(async move {
        let mut running = JoinSet::new();
        for task in lane.tasks {
            running.spawn_local(task());
        }
        let mut result = Ok(());
        while let Some(ended) = running.join_next().await {
            let ended = ended.unwrap_or_else(|e| Err(Error::internal("a task panicked").caused_by(e)));
            if let Err(error) = ended {
                stop.stop();
                if result.is_ok() {
                    result = Err(error);
                }
            }
        }
        result
    })
}

/// A loop should not stay open for long after its PLC is back; a broker is spared a storm of clients.
fn retry_within(control: bool) -> Span {
    if control { Span::from_secs(1) } else { Span::from_secs(10) }
}

/// Places the sources, workers and sinks of a component on lanes and connects them by bounded edges. Sources and sinks live
/// on the lane of the first worker.
pub(super) fn place(
    plan: &Arc<Plan>,
    component: &Component,
    board: &Board,
    clock: &Arc<dyn Clock>,
    stop: &Stop,
    lanes: &mut [Draft],
) -> Result<()> {
    let first = lanes.iter().position(|lane| lane.purpose == Purpose::of(component)).unwrap_or(0);
    let bulk = lanes.len() - first;
    let lane_of = |worker: usize| if component.control { first } else { first + worker % bulk };
    // On the one lane of a one-core machine everything keeps to the bounds of control.
    let control = component.control || lanes.len() == 1 && lanes[0].purpose == Purpose::Control;
    let (drain, limit) = if control { (DRAIN_CONTROL, CONTROL_BATCH_ROWS) } else { (DRAIN_BULK, MAX_BATCH_ROWS) };
    // Where all sources are field buses, nothing that is only told may hold back what is controlled.
    let holds_back = |sink: usize| !component.paced || plan.sinks[sink].planned.control;

    let workers = workers(plan, component, board);
    let (to_workers, from_sources): (Vec<_>, Vec<_>) = workers.iter().map(|_| mpsc::channel(EDGE_MESSAGES)).unzip();
    let (to_sinks, from_workers): (Vec<_>, Vec<_>) = component
        .sinks
        .iter()
        .map(|&n| mpsc::channel(if holds_back(n) { EDGE_MESSAGES } else { TOLD_MESSAGES }))
        .unzip();
    let (answer_to, answers): (Vec<_>, Vec<_>) = component.sources.iter().map(|_| mpsc::unbounded_channel()).unzip();

    for (&n, answers) in component.sources.iter().zip(answers) {
        let planned = &plan.sources[n];
        let meter = meter(board, Kind::Source, &planned.name)?;
        let context = BuildContext { clock: Arc::clone(clock), meter: Arc::clone(&meter) as _ };
        let reads = Input::of_source(n).into_iter();
        let source: Box<dyn Source> = match planned.is_system() {
            true => Box::new(WatermarkTable::new(plan, board, clock)),
            false => (planned.planned.build)(&context),
        };
        let source = match planned.table {
            Some(table) => Box::new(TableSource::new(planned, table, source, clock)) as Box<dyn Source>,
            None => source,
        };
        let task = SourceTask::new(
            plan,
            n,
            source,
            source_task::Wiring {
                workers: Spread::new(planned, component, to_workers.clone(), Arc::clone(&meter))?,
                inputs: reads.filter(|input| workers.iter().any(|w| w.reads(*input))).collect(),
                answers,
                sinks_below: workers.iter().map(|w| w.sinks_below(n).len()).sum(),
                limit,
                retry_within: retry_within(planned.planned.control),
            },
            &meter,
            clock,
            stop,
        )?;
        let span = tracing::info_span!("source", pipeline = plan.name, name = planned.name);
        lanes[lane_of(0)].push(move || task.run().instrument(span));
    }
    for (&n, rows) in component.sinks.iter().zip(from_workers) {
        let planned = &plan.sinks[n];
        let meter = meter(board, Kind::Sink, &planned.name)?;
        let context = BuildContext { clock: Arc::clone(clock), meter: Arc::clone(&meter) as _ };
        let wiring = sink_task::Wiring {
            rows: InOrder::new(rows),
            upstream: component.workers,
            answer_to: component.sources.iter().copied().zip(answer_to.clone()).collect(),
            stop: stop.clone(),
            retry_within: retry_within(planned.planned.control),
        };
        let sink = (planned.planned.build)(&context);
        let task = SinkTask::new(&planned.name, planned.expire_after, sink, wiring, meter, Arc::clone(clock));
        let span = tracing::info_span!("sink", pipeline = plan.name, name = planned.name);
        lanes[lane_of(0)].push(move || task.run().instrument(span));
    }
    for ((number, worker), inbox) in workers.into_iter().enumerate().zip(from_sources) {
        let to_sinks = component.sinks.iter().zip(&to_sinks).map(|(&n, edge)| {
            Ok(SinkEdge {
                edge: edge.clone(),
                holds_back: holds_back(n),
                spread: component.is_spread(plan.sinks[n].input),
                meter: meter(board, Kind::Sink, &plan.sinks[n].name)?,
            })
        });
        let sources = component.sources.iter().map(|&n| Ok((n, meter(board, Kind::Source, &plan.sources[n].name)?)));
        let task = WorkerTask {
            number,
            worker,
            inbox,
            to_sinks: to_sinks.collect::<Result<_>>()?,
            sources: sources.collect::<Result<_>>()?,
            to_gathering: (number > 0).then(|| to_workers[0].clone()),
            drain,
            control: component.control,
            clock: Arc::clone(clock),
        };
        lanes[lane_of(number)].push(move || task.run());
    }
    Ok(())
}
