//! What scripts ask of each other: names that exist, once each, and no circles; and `--only`.

use std::collections::{BTreeSet, HashMap};

use super::fault::{Bad, Place, Report};
use super::node::Node;
use crate::domain::script::{Condition, ScriptName, ScriptSpec};

/// A script and the table it was read from.
pub(super) struct Read<'a> {
    pub spec: ScriptSpec,
    pub node: &'a Node,
    /// The value that holds its dependencies, wherever it was written.
    pub depends_on: Option<&'a Node>,
    /// No value of it is a stand-in for a faulty one.
    pub sound: bool,
}

impl Read<'_> {
    pub fn key(&self, key: &str) -> String {
        format!("script.{}.{key}", self.spec.name)
    }

    /// The place of one of its keys, else of the whole table.
    pub fn place(&self, key: &str) -> &Place {
        self.node.get(key).map_or(&self.node.place, |node| &node.place)
    }

    /// The scripts that it waits for, as far as there are any of that name.
    pub fn depends_on<'s>(&'s self, names: &'s Index<'_>) -> impl Iterator<Item = usize> + 's {
        self.spec.depends_on.iter().filter_map(|dependency| names.get(dependency.script.as_str()).copied())
    }

    pub fn dependency_place(&self) -> &Place {
        self.depends_on.map_or(&self.node.place, |node| &node.place)
    }
}

/// Scripts by name; of two with the same name the first.
pub(super) type Index<'a> = HashMap<&'a str, usize>;

pub(super) fn index<'a>(scripts: &'a [Read<'_>]) -> Index<'a> {
    // The first of a name is put in last.
    scripts.iter().enumerate().rev().map(|(at, script)| (script.spec.name.as_str(), at)).collect()
}

/// Names are unique, dependencies exist and run, nothing waits for itself. `broken` names scripts that have faults of their own.
pub(super) fn check(scripts: &[Read<'_>], broken: &[String], report: &Report) {
    let mut seen = BTreeSet::new();
    for script in scripts {
        if !seen.insert(&script.spec.name) {
            let message = format!("there are two scripts named {:?}: names are unique", script.spec.name.as_str());
            report.fault(script.place("name"), &script.key("name"), message);
        }
    }
    let index = index(scripts);
    for script in scripts {
        for dependency in &script.spec.depends_on {
            let Some(other) = index.get(dependency.script.as_str()).map(|at| &scripts[*at]) else {
                if broken.iter().any(|name| name == dependency.script.as_str()) {
                    continue;
                }
                let names = scripts.iter().map(|other| other.spec.name.as_str());
                let bad = Bad::near(
                    format!("no script is named {:?}", dependency.script.as_str()),
                    dependency.script.as_str(),
                    names,
                );
                report.fault(script.dependency_place(), &script.key("depends_on"), bad);
                continue;
            };
            if script.spec.enabled && !other.spec.enabled && dependency.condition != Condition::Finished {
                let message = format!("{} is disabled: this script will be skipped each day", dependency.script);
                report.warn(script.dependency_place(), &script.key("depends_on"), message);
            }
        }
    }
    for circle in circles(scripts, &index) {
        let names: Vec<&str> = circle.iter().chain(circle.first()).map(|at| scripts[*at].spec.name.as_str()).collect();
        let first = &scripts[circle[0]];
        let message = format!("scripts wait for each other in a circle: {}", names.join(" -> "));
        report.fault(first.dependency_place(), &first.key("depends_on"), message);
    }
}

/// Every circle once, from its first script in the order of the configuration. Walks without recursion: a chain may have thousands.
fn circles(scripts: &[Read<'_>], index: &Index<'_>) -> Vec<Vec<usize>> {
    let edges: Vec<Vec<usize>> = scripts.iter().map(|script| script.depends_on(index).collect()).collect();
    let mut found: Vec<Vec<usize>> = Vec::new();
    let mut done = vec![false; scripts.len()];
    // Where each script stands on the path that is being walked.
    let mut depth: Vec<Option<usize>> = vec![None; scripts.len()];
    for start in 0..scripts.len() {
        if done[start] {
            continue;
        }
        let mut path = vec![start];
        let mut next = vec![0];
        depth[start] = Some(0);
        while let (Some(&at), Some(step)) = (path.last(), next.last_mut()) {
            let Some(&to) = edges[at].get(*step) else {
                (done[at], depth[at]) = (true, None);
                path.pop();
                next.pop();
                continue;
            };
            *step += 1;
            if let Some(from) = depth[to] {
                found.push(from_smallest(&path[from..]));
            } else if !done[to] {
                depth[to] = Some(path.len());
                path.push(to);
                next.push(0);
            }
        }
    }
    found
}

fn from_smallest(circle: &[usize]) -> Vec<usize> {
    let mut circle = circle.to_vec();
    let smallest = circle.iter().enumerate().min_by_key(|(_, script)| **script).map_or(0, |(i, _)| i);
    circle.rotate_left(smallest);
    circle
}

/// `--only`: all other scripts are disabled; returns those that were not. What a chosen script waits for must be chosen too.
pub(super) fn select(scripts: &mut [Read<'_>], only: &[String], report: &Report) -> Vec<ScriptName> {
    let mut left_out = Vec::new();
    if only.is_empty() {
        return left_out;
    }
    let place = Place::Flag("--only".to_owned());
    let names: Vec<String> = scripts.iter().map(|script| script.spec.name.to_string()).collect();
    for wanted in only.iter().filter(|wanted| !names.contains(wanted)) {
        let message = format!("no script is named {wanted:?}; known are {}", names.join(", "));
        report.fault(&place, "", Bad::near(message, wanted, names.iter().map(String::as_str)));
    }
    for script in scripts.iter_mut() {
        let chosen = only.iter().any(|name| name == script.spec.name.as_str());
        if chosen && !script.spec.enabled {
            report.warn(&place, "", format!("{} is disabled in the configuration and stays so", script.spec.name));
        }
        if script.spec.enabled && !chosen {
            script.spec.enabled = false;
            left_out.push(script.spec.name.clone());
        }
        for dependency in script.spec.depends_on.iter().filter(|_| chosen) {
            let missing = !only.iter().any(|name| name == dependency.script.as_str());
            if missing && names.iter().any(|name| name == dependency.script.as_str()) {
                let message = format!("{} waits for {}: add it to --only", script.spec.name, dependency.script);
                report.fault(&place, "", message);
            }
        }
    }
    left_out
}
