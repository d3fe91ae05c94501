//! Who we are, as others see it.

use nix::unistd::{geteuid, gethostname};

/// `user@host`.
pub(crate) fn user_at_host() -> String {
    format!("{}@{}", user(), host())
}

/// By the passwd file and not by the system's resolver, which a static binary does not have.
fn user() -> String {
    let id = geteuid().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(&id, &passwd)
        .or_else(|| std::env::var("USER").ok().filter(|name| !name.is_empty()))
        .unwrap_or_else(|| format!("uid-{id}"))
}

fn name_of(id: &str, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    })
}

/// The name of this machine; `localhost` when it has none that can be shown.
pub(crate) fn host() -> String {
    gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbilling:x:1000:1000::/:/bin/sh\n";
        assert_eq!(name_of("1000", passwd).as_deref(), Some("billing"));
        assert_eq!(name_of("7", passwd), None);
    }

    #[test]
    fn both_sides_of_the_at_are_there() {
        let text = user_at_host();
        let (user, host) = text.split_once('@').expect("an at");
        assert!(!user.is_empty() && !host.is_empty(), "{text}");
    }
}
