use super::*;

fn shown(listed: &Listed) -> Vec<String> {
    let show = |item: &Item| {
        let value = match &item.value {
            ItemValue::Number(value) => value.to_string(),
            ItemValue::Histogram(histogram) => format!("{:?} {}", histogram.custom_values, histogram.sum),
        };
        let about = item.about.as_ref().map(|about| format!(" ({} {:?} {:?})", about.kind, about.help, about.unit));
        let start = if item.start == 0 { String::new() } else { format!(" since {}", item.start) };
        format!("{}: {value}{start}{}", String::from_utf8_lossy(listed.text(item)), about.unwrap_or_default())
    };
    listed.items.iter().map(show).collect()
}

fn text(page: &str, wanted: Wanted) -> Vec<String> {
    shown(&Listed::text_page(page.as_bytes(), Format::OpenMetrics, wanted).expect("a good page"))
}

#[test]
fn classic_histograms_become_native_ones() {
    let page = "# TYPE h histogram\nh_bucket{x=\"1\",le=\"0.5\"} 1\nh_bucket{x=\"1\",le=\"+Inf\"} 4\nh_sum{x=\"1\"} 2.75\nh_count{x=\"1\"} 4\n\
                h_bucket{x=\"2\",le=\"+Inf\"} 3\nh_sum{x=\"2\"} 1\nh_count{x=\"2\"} 4\nh_other 1\n# TYPE g gauge\ng_sum 1\n# EOF\n";
    let wanted = Wanted { convert_classic: true, ..Wanted::default() };
    // The second one's count is not that of its last bucket.
    assert_eq!(text(page, wanted), ["h{x=\"1\"}: [0.5] 2.75", "h_other: 1", "g_sum: 1"]);
    let both = text(page, Wanted { keep_classic: true, ..wanted });
    assert_eq!((both.len(), &*both[4]), (10, "h{x=\"1\"}: [0.5] 2.75"));
}

#[test]
fn families_tell_what_their_series_are() {
    let page = "# TYPE c counter\n# HELP c cc\nc_total 5\nc_created 9\nother 1\n# TYPE t_seconds gauge\n# UNIT t_seconds seconds\nt_seconds 1\n# EOF\n";
    let wanted = Wanted { metadata: true, ..Wanted::default() };
    let expect =
        ["c_total: 5 (counter \"cc\" \"\")", "c_created: 9", "other: 1", "t_seconds: 1 (gauge \"\" \"seconds\")"];
    assert_eq!(text(page, wanted), expect);
    let labelled = Wanted { type_and_unit_labels: true, ..Wanted::default() };
    assert_eq!(text(page, labelled)[0], "c_total{__type__=\"counter\"}: 5");
    assert_eq!(text(page, labelled)[3], "t_seconds{__type__=\"gauge\",__unit__=\"seconds\"}: 1");
}

#[test]
fn created_series_say_when_the_others_began() {
    let page = "# TYPE c counter\nc_total{a=\"b\"} 5\nc_created{a=\"b\"} 9.5\nc_total{a=\"c\"} 5\n# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_created 3\n# EOF\n";
    let wanted = Wanted { starts: true, ..Wanted::default() };
    let expect = ["c_total{a=\"b\"}: 5 since 9500", "c_total{a=\"c\"}: 5", "s{quantile=\"0.5\"}: 1 since 3000"];
    assert_eq!(text(page, wanted), expect);
}

#[test]
fn a_page_of_protobuf_that_is_none_is_refused() {
    for (page, why) in [
        (&b"\x05\x0a"[..], "ends within a metric family"),
        (b"\x05\x0a\x01a\x22\x00\x01\x00", "not what protobuf's rules allow"),
        (b"\x07\x0a\x01a\x18\x09\x22\x00", "unknown metric type 9"),
        (b"\x05\x0a\x01\xff\x22\x00", "is not UTF-8"),
        (b"\x02\x22\x00", "has no name"),
    ] {
        let error = Listed::protobuf(page, Wanted::default()).expect_err(why);
        assert!(error.contains(why), "{error}");
    }
    assert!(Listed::protobuf(b"\x03\x0a\x01a", Wanted::default()).expect("no metrics at all").items.is_empty());
}
