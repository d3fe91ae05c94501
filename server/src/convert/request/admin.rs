//! An operator's questions and verbs.

use conclave_machine::{Command, SessionId, Sort, Token, Version};
use conclave_proto::v1;

use super::{malformed, name, text};
use crate::limits::{LIST_DEFAULT, LIST_MAX};
use crate::status::Malformed;

/// Which lines of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListQuery {
    pub(crate) prefix: String,
    pub(crate) sort: Sort,
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
}

pub(crate) fn kill(request: &v1::KillSessionRequest) -> Result<Command, Malformed> {
    let reason =
        if request.reason.is_empty() { Box::default() } else { text(&request.reason, "reason")? };
    Ok(Command::Kill { session: SessionId(request.session), by: text(&request.by, "by")?, reason })
}

pub(crate) fn force_release(request: &v1::ForceReleaseRequest) -> Result<Command, Malformed> {
    Ok(Command::ForceRelease {
        name: name(&request.name, "name")?,
        token: Token(request.token),
        now: request.now,
        by: text(&request.by, "by")?,
    })
}

pub(crate) fn resize(request: &v1::ResizeRequest) -> Result<Command, Malformed> {
    Ok(Command::Resize {
        name: name(&request.name, "name")?,
        limit: request.limit,
        version: Version(request.version),
        by: text(&request.by, "by")?,
    })
}

pub(crate) fn transfer(request: &v1::TransferRequest) -> Result<Command, Malformed> {
    Ok(Command::Transfer {
        name: name(&request.name, "name")?,
        term: Token(request.term),
        to: SessionId(request.to_session),
        by: text(&request.by, "by")?,
    })
}

pub(crate) fn delete(request: &v1::DeleteRequest) -> Result<Command, Malformed> {
    Ok(Command::Delete { name: name(&request.name, "name")?, by: text(&request.by, "by")? })
}

pub(crate) fn list(request: v1::ListRequest) -> Result<ListQuery, Malformed> {
    let sort = match v1::Sort::try_from(request.sort) {
        Ok(v1::Sort::Unspecified | v1::Sort::Name) => Sort::Name,
        Ok(v1::Sort::LongestWait) => Sort::LongestWait,
        Ok(v1::Sort::MostWaiters) => Sort::MostWaiters,
        Err(_) => {
            let text = format!("{} is not known", request.sort);
            return Err(malformed("INVALID_REQUEST", "sort", text));
        }
    };
    if !request.after.is_empty() && sort != Sort::Name {
        return Err(malformed("INVALID_REQUEST", "after", "goes only with the order by name"));
    }
    Ok(ListQuery {
        prefix: request.prefix,
        sort,
        after: Some(request.after).filter(|after| !after.is_empty()),
        limit: page(request.limit, "limit")?,
    })
}

/// How many lines; zero: the default.
pub(crate) fn page(limit: u32, field: &'static str) -> Result<usize, Malformed> {
    match limit {
        0 => Ok(LIST_DEFAULT as usize),
        1..=LIST_MAX => Ok(limit as usize),
        _ => {
            let text = format!("must be 1 to {LIST_MAX}, or 0 for {LIST_DEFAULT}");
            Err(malformed("INVALID_REQUEST", field, text))
        }
    }
}
