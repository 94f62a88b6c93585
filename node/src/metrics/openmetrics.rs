//! OpenMetrics 1.0: what a scraper gets that asks for it. The `prometheus` crate writes only the older text format.
//!
//! The differences are few, and a parser of OpenMetrics is strict about them: a counter's family is named without
//! `_total`, bounds of buckets are written as floats, infinities have a sign, and the end is marked, so that a page that
//! was cut off is not taken for a whole one. There are no exemplars: requests carry no trace ids yet.

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// What an answer in this format is labelled as.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether a scraper's `Accept` header asks for this format.
#[must_use]
pub fn is_accepted(accept: &str) -> bool {
    accept.split(',').any(|choice| {
        let mut parts = choice.split(';').map(str::trim);
        let named = parts.next() == Some("application/openmetrics-text");
        // A version that is not named is the one there is; 0.0.1 is the draft, which differs in nothing used here.
        named && parts.all(|part| !part.starts_with("version=") || matches!(part, "version=1.0.0" | "version=0.0.1"))
    })
}

/// Writes all families, in the order given.
#[must_use]
pub fn encode(families: &[MetricFamily]) -> String {
    let mut page = String::new();
    for family in families {
        write_family(&mut page, family);
    }
    page.push_str("# EOF\n");
    page
}

fn write_family(page: &mut String, family: &MetricFamily) {
    let full = family.name();
    let (name, kind) = match family.get_field_type() {
        MetricType::COUNTER => match full.strip_suffix("_total") {
            Some(name) => (name, "counter"),
            // A counter must end so; what does not is passed on as what it looks like.
            None => (full, "unknown"),
        },
        MetricType::GAUGE => (full, "gauge"),
        MetricType::HISTOGRAM => (full, "histogram"),
        other => panic!("{full} is a {other:?}, which this program does not register"),
    };
    *page += &format!("# TYPE {name} {kind}\n# HELP {name} {}\n", escaped(family.help()));
    for metric in family.get_metric() {
        match family.get_field_type() {
            MetricType::COUNTER => sample(page, full, metric, None, metric.get_counter().get_value()),
            MetricType::GAUGE => sample(page, full, metric, None, metric.get_gauge().get_value()),
            _ => write_histogram(page, full, metric),
        }
    }
}

fn write_histogram(page: &mut String, name: &str, metric: &Metric) {
    let histogram = metric.get_histogram();
    let count = histogram.get_sample_count() as f64;
    let (buckets, finite) = (format!("{name}_bucket"), histogram.get_bucket().iter());
    for bucket in finite.filter(|bucket| bucket.upper_bound().is_finite()) {
        // `{:?}` writes 10 as 10.0.
        let bound = format!("{:?}", bucket.upper_bound());
        sample(page, &buckets, metric, Some(&bound), bucket.cumulative_count() as f64);
    }
    sample(page, &buckets, metric, Some("+Inf"), count);
    sample(page, &format!("{name}_count"), metric, None, count);
    sample(page, &format!("{name}_sum"), metric, None, histogram.get_sample_sum());
}

fn sample(page: &mut String, name: &str, metric: &Metric, bound: Option<&str>, value: f64) {
    let label = |label: &LabelPair| format!("{}=\"{}\"", label.name(), escaped(label.value()));
    let mut labels: Vec<String> = metric.get_label().iter().map(label).collect();
    labels.extend(bound.map(|bound| format!("le=\"{bound}\"")));
    page.push_str(name);
    if !labels.is_empty() {
        *page += &format!("{{{}}}", labels.join(","));
    }
    *page += &match value {
        f64::INFINITY => " +Inf\n".to_owned(),
        f64::NEG_INFINITY => " -Inf\n".to_owned(),
        // "NaN" is written as it is.
        value => format!(" {value}\n"),
    };
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use prometheus::{Gauge, Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

    use super::*;

    #[test]
    fn a_page_is_what_the_standard_asks_for() {
        let registry = Registry::new();
        let counters = IntCounterVec::new(Opts::new("a_total", "So \"many\"."), &["why"]).expect("valid");
        counters.with_label_values(&["back\\slash"]).inc_by(3);
        let gauge = Gauge::new("b_ratio", "Unknown.").expect("valid");
        gauge.set(f64::NAN);
        let told = HistogramOpts::new("c_seconds", "Long.").buckets(vec![0.5, 10.0]);
        let histogram = Histogram::with_opts(told).expect("valid");
        [0.1, 0.2, 7.0, 70.0]
            .into_iter()
            .for_each(|value| histogram.observe(value));
        registry.register(Box::new(counters)).expect("new");
        registry.register(Box::new(gauge)).expect("new");
        registry.register(Box::new(histogram)).expect("new");
        let expected = r##"# TYPE a counter
# HELP a So \"many\".
a_total{why="back\\slash"} 3
# TYPE b_ratio gauge
# HELP b_ratio Unknown.
b_ratio NaN
# TYPE c_seconds histogram
# HELP c_seconds Long.
c_seconds_bucket{le="0.5"} 2
c_seconds_bucket{le="10.0"} 3
c_seconds_bucket{le="+Inf"} 4
c_seconds_count 4
c_seconds_sum 77.3
# EOF
"##;
        assert_eq!(encode(&registry.gather()), expected);
    }

    #[test]
    fn only_who_asks_for_it_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert!(is_accepted(prometheus));
        assert!(is_accepted("application/openmetrics-text"));
        for other in [
            "",
            "*/*",
            "text/plain;version=0.0.4",
            "application/openmetrics-text; version=2.0.0",
        ] {
            assert!(!is_accepted(other), "{other}");
        }
    }
}
