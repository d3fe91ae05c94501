//! Real time: what was answered before something else was asked comes before it in the log. Reads too: they see at least all
//! that was answered before they were asked.

use std::collections::BTreeMap;

use conclave_machine::Revision;

use super::answers;
use crate::asked::Asked;
use crate::history::{Call, Heard, History, Micros};
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "order";

/// An answered call; several records of one seq are one call that was asked when the first of them was.
struct Span<'a> {
    call: &'a Call,
    heard: &'a Heard,
    asked_us: Micros,
}

pub(crate) fn check(history: &History, verdict: &mut Verdict) {
    let spans = spans(history);
    let mut by_return: Vec<_> = spans.iter().collect();
    by_return.sort_by_key(|span| span.heard.at_us);
    let mut by_asking: Vec<_> = spans.iter().collect();
    by_asking.sort_by_key(|span| span.asked_us);
    let mut returned = by_return.into_iter().peekable();
    let mut latest: Option<&Span<'_>> = None;
    for span in by_asking {
        while let Some(before) = returned.next_if(|before| before.heard.at_us < span.asked_us) {
            if latest.is_none_or(|latest| latest.heard.revision < before.heard.revision) {
                latest = Some(before);
            }
        }
        verdict.judged(CHECK);
        let Some(before) = latest else { continue };
        let is_read = matches!(span.call.asked, Asked::Read(_));
        let in_order = match is_read {
            true => before.heard.revision <= span.heard.revision,
            false => before.heard.revision < span.heard.revision,
        };
        if !in_order {
            verdict.found(out_of_order(before, span));
        }
    }
}

fn out_of_order(before: &Span<'_>, span: &Span<'_>) -> Finding {
    let what = format!(
        "{:?} was asked at {} us and answered at revision {}, but {:?} of client {} was answered before that, at {} us, with revision {}",
        span.call.asked,
        span.asked_us,
        span.heard.revision,
        before.call.asked,
        before.call.client,
        before.heard.at_us,
        before.heard.revision,
    );
    Finding { check: CHECK, ..answers::of(span.call, span.heard, what) }
}

/// Each answer counts for itself: also `Queued` was decided somewhere between.
fn spans(history: &History) -> Vec<Span<'_>> {
    let mut first: BTreeMap<_, Micros> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| call.seq.get() > 0) {
        let asked_us = first.entry((call.session, call.seq)).or_insert(call.invoked_us);
        *asked_us = call.invoked_us.min(*asked_us);
    }
    let mut spans = Vec::new();
    for call in &history.calls {
        let asked_us = first.get(&(call.session, call.seq)).copied().unwrap_or(call.invoked_us);
        let heard = call.answers.iter().filter(|heard| heard.revision > Revision(0));
        spans.extend(heard.map(|heard| Span { call, heard, asked_us }));
    }
    spans
}
