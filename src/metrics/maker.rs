//! How a metric is made and registered.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Makes metrics and registers them. Names and labels are constants, so neither step can fail.
pub(super) struct Maker<'a>(pub(super) &'a Registry);

impl Maker<'_> {
    pub(super) fn register<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: prometheus::Result<M>,
    ) -> M {
        let metric = metric.expect("names and labels of metrics are valid constants");
        let boxed = Box::new(metric.clone());
        self.0
            .register(boxed)
            .expect("every metric is registered once");
        metric
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
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
        self.register(IntGauge::with_opts(info)).set(1);
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(options))
    }
}
