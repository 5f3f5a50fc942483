//! How a metric is made and registered.

use std::cell::RefCell;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricType;
use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry,
};

/// Makes metrics and registers them. Names and labels are constants, so neither step can fail.
pub(super) struct Maker<'a> {
    registry: &'a Registry,
    described: RefCell<Vec<MetricInfo>>,
}

/// What a metric is called, and what tells its series apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricInfo {
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    pub labels: Vec<String>,
    pub help: String,
}

impl<'a> Maker<'a> {
    pub(super) fn new(registry: &'a Registry) -> Self {
        Self {
            registry,
            described: RefCell::default(),
        }
    }

    /// Every metric that was made.
    pub(super) fn described(self) -> Vec<MetricInfo> {
        self.described.into_inner()
    }

    fn register<M: Collector + Clone + 'static>(
        &self,
        kind: MetricType,
        metric: prometheus::Result<M>,
    ) -> M {
        let metric = metric.expect("names and labels of metrics are valid constants");
        let described = metric.desc().into_iter().map(|desc| info(kind, desc));
        self.described.borrow_mut().extend(described);
        let boxed = Box::new(metric.clone());
        self.registry
            .register(boxed)
            .expect("every metric is registered once");
        metric
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(MetricType::GAUGE, IntGauge::new(name, help))
    }

    /// A gauge that does not begin at 0.
    pub(super) fn gauge_of(&self, name: &str, help: &str, value: i64) -> IntGauge {
        let gauge = self.gauge(name, help);
        gauge.set(value);
        gauge
    }

    /// What is running, as labels: name and value.
    pub(super) fn build_info(&self, labels: &[(&str, &str)]) {
        let info = Opts::new("coord_build_info", "The running version; always 1.");
        let info = labels.iter().fold(info, |o, (k, v)| o.const_label(*k, *v));
        self.register(MetricType::GAUGE, IntGauge::with_opts(info))
            .set(1);
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(MetricType::COUNTER, IntCounter::new(name, help))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(
            MetricType::COUNTER,
            IntCounterVec::new(Opts::new(name, help), labels),
        )
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(
            MetricType::GAUGE,
            IntGaugeVec::new(Opts::new(name, help), labels),
        )
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(MetricType::HISTOGRAM, Histogram::with_opts(options))
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(MetricType::HISTOGRAM, HistogramVec::new(options, labels))
    }

    /// Of fractions of a second.
    pub(super) fn seconds_counter(&self, name: &str, help: &str) -> Counter {
        self.register(MetricType::COUNTER, Counter::new(name, help))
    }

    pub(super) fn seconds_gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(MetricType::GAUGE, Gauge::new(name, help))
    }

    pub(super) fn seconds_gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(
            MetricType::GAUGE,
            GaugeVec::new(Opts::new(name, help), labels),
        )
    }
}

fn info(kind: MetricType, desc: &Desc) -> MetricInfo {
    let constant = desc.const_label_pairs.iter();
    let constant = constant.map(|pair| pair.name().to_owned());
    MetricInfo {
        name: desc.fq_name.clone(),
        kind: match kind {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            _ => "gauge",
        },
        labels: constant.chain(desc.variable_labels.clone()).collect(),
        help: desc.help.clone(),
    }
}
