//! As whom a script runs: names and numbers of users and groups, looked up where the machine keeps them.

use std::ffi::CString;
use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, getgrouplist};
use rustix::thread::CapabilitySet;

use super::prepare::Unfit;
use crate::domain::limits::Limits;

/// A user and his groups.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// None: those of this process stay.
    pub(super) groups: Option<Vec<Gid>>,
    /// The user is another one by wish, and these are his name and his home.
    pub(super) user: Option<(String, PathBuf)>,
}

impl Account {
    /// The account that `user` and `group` name; None if neither is set.
    pub(super) fn find(limits: &Limits) -> Result<Option<Self>, Unfit> {
        let gid = limits.group.as_deref().map(group).transpose()?;
        let Some(wanted) = &limits.user else {
            return Ok(gid.map(|gid| Self { uid: geteuid(), gid, groups: None, user: None }));
        };
        let (uid, entry) = user(wanted)?;
        let Some(gid) = gid.or(entry.as_ref().map(|entry| entry.gid)) else {
            let message = format!("user {wanted} is not in the user database, so it has no group: set `group` too");
            return Err(Unfit::new("user", message));
        };
        // Who is not in the database is in no further group.
        let groups = match &entry {
            Some(entry) => groups(&entry.name, gid)?,
            None => vec![gid],
        };
        let named = entry.map_or_else(|| (uid.to_string(), PathBuf::from("/")), |entry| (entry.name, entry.dir));
        Ok(Some(Self { uid, gid, groups: Some(groups), user: Some(named) }))
    }

    /// It is that of this process: there is nothing to become.
    pub(super) fn is_own(&self) -> bool {
        (self.uid, self.gid) == (geteuid(), getegid())
    }

    /// This process may become somebody whom it could not stop.
    pub(super) fn is_out_of_reach(&self) -> bool {
        let may = rustix::thread::capabilities(None).map(|sets| sets.effective);
        let unbridled = may.is_ok_and(|may| may.contains(CapabilitySet::SETUID) && !may.contains(CapabilitySet::KILL));
        self.uid != geteuid() && unbridled
    }
}

/// Where there is no entry, the number is all that there is.
fn user(wanted: &str) -> Result<(Uid, Option<User>), Unfit> {
    let unreadable = |error| Unfit::new("user", format!("the user database cannot be read: {error}"));
    if let Ok(number) = wanted.parse() {
        let uid = Uid::from_raw(number);
        return Ok((uid, User::from_uid(uid).map_err(unreadable)?));
    }
    match User::from_name(wanted).map_err(unreadable)? {
        Some(entry) => Ok((entry.uid, Some(entry))),
        None => Err(Unfit::unknown("user", wanted)),
    }
}

fn group(wanted: &str) -> Result<Gid, Unfit> {
    if let Ok(number) = wanted.parse() {
        return Ok(Gid::from_raw(number));
    }
    match Group::from_name(wanted) {
        Ok(Some(entry)) => Ok(entry.gid),
        Ok(None) => Err(Unfit::unknown("group", wanted)),
        Err(error) => Err(Unfit::new("group", format!("the group database cannot be read: {error}"))),
    }
}

fn groups(user: &str, gid: Gid) -> Result<Vec<Gid>, Unfit> {
    let unknown = |error| Unfit::new("user", format!("the groups of user {user} cannot be looked up: {error}"));
    let name = CString::new(user).map_err(|_| Unfit::unknown("user", user))?;
    getgrouplist(&name, gid).map_err(unknown)
}

/// The names that this machine's own files know, for a name that was probably meant.
pub(super) fn names(key: &str) -> Vec<String> {
    let text = std::fs::read_to_string(if key == "user" { "/etc/passwd" } else { "/etc/group" }).unwrap_or_default();
    text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(user: Option<&str>, group: Option<&str>) -> Limits {
        Limits { user: user.map(str::to_owned), group: group.map(str::to_owned), ..Limits::default() }
    }

    #[test]
    fn a_user_brings_his_group_and_his_groups() {
        let found = Account::find(&limits(Some("root"), None)).expect("known").expect("set");
        assert_eq!((found.uid.as_raw(), found.gid.as_raw()), (0, 0));
        assert!(found.groups.expect("looked up").contains(&Gid::from_raw(0)));
        assert_eq!(found.user.expect("named").0, "root");
        assert_eq!(Account::find(&limits(Some("0"), None)).expect("known").expect("set").uid, Uid::from_raw(0));
    }

    #[test]
    fn a_group_alone_leaves_the_user_and_the_other_groups() {
        let found = Account::find(&limits(None, Some("4242"))).expect("a number").expect("set");
        assert_eq!((found.uid, found.gid, found.groups, found.user), (geteuid(), Gid::from_raw(4242), None, None));
        assert_eq!(Account::find(&limits(None, None)).expect("nothing"), None);
    }

    #[test]
    fn a_number_without_an_entry_needs_a_group() {
        let error = Account::find(&limits(Some("3999999999"), None)).expect_err("no group");
        assert_eq!((error.key, error.message.contains("set `group` too")), ("user", true));
        let found = Account::find(&limits(Some("3999999999"), Some("7"))).expect("sound").expect("set");
        assert_eq!(found.groups, Some(vec![Gid::from_raw(7)]));
    }

    #[test]
    fn who_is_not_there_is_told_by_key_and_name() {
        let user = Account::find(&limits(Some("no-such-user"), None)).expect_err("unknown");
        assert_eq!(
            user.to_string(),
            "limits.user: there is no user \"no-such-user\" on this machine: add it, or correct the name"
        );
        assert_eq!(Account::find(&limits(None, Some("no-such-group"))).expect_err("unknown").key, "group");
    }
}
