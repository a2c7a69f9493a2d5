//! The two ends of a spec, components in no family: `spec.in` sends what stands in `input`, `spec.out` keeps what
//! arrives for `output`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use language_eval::{Arguments, Exports, FromValue, ToValue, TypeSchema, Value, ValueError};
use sdk_component::{Component, Context, Definition, Problem, Stop, Stopped, Update};
use sdk_signals::{
    BoxFuture, Consumer, Delivery, LogBatch, LogsReceiver, MetricsReceiver, OtelConsumer, OtlpBatch, Receiver, Refused,
    SampleBatch,
};

use super::data;

/// Both.
pub static COMPONENTS: [Definition; 2] = [Definition::of::<In>(), Definition::of::<Out>()];

/// One end of the spec that runs.
#[derive(Clone)]
pub enum End {
    /// Where the input goes.
    In(Vec<AnyReceiver>),
    /// What arrived, in the form of the spec.
    Out(Arc<Mutex<Vec<String>>>),
}

/// The receivers of all signals.
#[derive(Clone)]
pub enum AnyReceiver {
    Logs(LogsReceiver),
    Metrics(MetricsReceiver),
    Otlp(OtelConsumer),
}

// Components are built by the runtime, which gives them nothing of ours: they are found by their storage path.
static ENDS: Mutex<Vec<Registered>> = Mutex::new(Vec::new());

struct Registered {
    storage: String,
    id: String,
    end: End,
}

/// The ends of the configuration that runs on this storage path, with their ids.
pub fn of(storage: &str) -> Vec<(String, End)> {
    let ends = lock(&ENDS);
    let here = ends.iter().filter(|registered| registered.storage == storage);
    here.map(|registered| (registered.id.clone(), registered.end.clone())).collect()
}

/// Nobody asks for them any more.
pub fn forget(storage: &str) {
    lock(&ENDS).retain(|registered| registered.storage != storage);
}

fn register(context: &Context, end: End) {
    let storage = context.data_path().parent().unwrap_or(context.data_path()).display().to_string();
    lock(&ENDS).push(Registered { storage, id: context.id().to_owned(), end });
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl AnyReceiver ===

impl FromValue for AnyReceiver {
    fn from_value(value: &Value) -> Result<AnyReceiver, ValueError> {
        let logs = LogsReceiver::from_value(value).map(AnyReceiver::Logs);
        let metrics = || MetricsReceiver::from_value(value).map(AnyReceiver::Metrics);
        let otlp = || OtelConsumer::from_value(value).map(AnyReceiver::Otlp);
        logs.or_else(|_| metrics()).or_else(|_| otlp())
    }

    fn zero() -> Option<AnyReceiver> {
        None
    }

    fn schema() -> TypeSchema {
        TypeSchema::Capsule("receiver")
    }
}

impl ToValue for AnyReceiver {
    fn to_value(&self) -> Value {
        match self {
            AnyReceiver::Logs(receiver) => receiver.to_value(),
            AnyReceiver::Metrics(receiver) => receiver.to_value(),
            AnyReceiver::Otlp(consumer) => consumer.to_value(),
        }
    }
}

/// Sends what stands in `input`.
#[derive(Arguments)]
struct InArguments {
    /// To whom: receivers of one signal.
    #[attr]
    forward_to: Vec<AnyReceiver>,
}

struct In;

impl Component for In {
    const NAME: &'static str = "spec.in";
    type Arguments = InArguments;
    type Exports = ();

    fn build(context: &Context, arguments: InArguments) -> Result<In, Problem> {
        register(context, End::In(arguments.forward_to));
        Ok(In)
    }

    fn update(&self, _: InArguments) -> Result<Update, Problem> {
        Ok(Update::then(|| {}))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}

/// Keeps what arrives.
#[derive(Arguments)]
struct OutArguments {}

#[derive(Exports)]
struct OutExports {
    /// Takes samples where the label is `metrics`, OTLP where it is `otlp`, else log entries.
    receiver: AnyReceiver,
}

struct Out;

struct Capture(Arc<Mutex<Vec<String>>>);

impl Component for Out {
    const NAME: &'static str = "spec.out";
    type Arguments = OutArguments;
    type Exports = OutExports;

    fn build(context: &Context, _: OutArguments) -> Result<Out, Problem> {
        let captured = Arc::default();
        register(context, End::Out(Arc::clone(&captured)));
        let (id, capture) = (context.id(), Arc::new(Capture(captured)));
        let receiver = match id.rsplit('.').next() {
            Some("metrics") => AnyReceiver::Metrics(MetricsReceiver(Receiver::new(id, capture))),
            Some("otlp") => AnyReceiver::Otlp(OtelConsumer(Receiver::new(id, capture))),
            _ => AnyReceiver::Logs(LogsReceiver(Receiver::new(id, capture))),
        };
        context.publish(&OutExports { receiver });
        Ok(Out)
    }

    fn update(&self, _: OutArguments) -> Result<Update, Problem> {
        Ok(Update::then(|| {}))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}

// === impl Capture ===

impl Capture {
    fn keep(&self, shown: Vec<String>) -> BoxFuture<'_, Result<Delivery, Refused>> {
        lock(&self.0).extend(shown);
        Box::pin(std::future::ready(Ok(Delivery::delivered())))
    }
}

impl Consumer<LogBatch> for Capture {
    fn consume(&self, batch: LogBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        self.keep(data::show_logs(&batch))
    }
}

impl Consumer<SampleBatch> for Capture {
    fn consume(&self, batch: SampleBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        self.keep(data::show_samples(&batch))
    }
}

impl Consumer<OtlpBatch> for Capture {
    fn consume(&self, batch: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        self.keep(vec![data::show_otlp(batch)])
    }
}
