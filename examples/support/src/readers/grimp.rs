//! grimp's import graph: the imports between Python modules.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ReadError, source};

/// Modules and the imports between them.
#[derive(Debug, Serialize)]
pub struct ImportGraph {
    /// Module names, such as `flask.json.provider`, sorted.
    nodes: Vec<String>,
    /// The importer and the imported module of each import, as indices of `nodes`, sorted, without
    /// duplicates.
    edges: Vec<(usize, usize)>,
}

#[derive(Deserialize)]
struct Document {
    nodes: Vec<String>,
    edges: Vec<(String, String)>,
}

/// Reads a graph written as `{"nodes": [module], "edges": [[importer, imported]]}`.
///
/// # Errors
/// [`ReadError::Fault`] for an edge to a module that is not among the nodes, and the errors of
/// [`super::read`] for a malformed file.
pub fn read(path: &Path) -> Result<ImportGraph, ReadError> {
    let document: Document = source::json(path)?;
    let nodes: BTreeSet<String> = document.nodes.into_iter().collect();
    let nodes: Vec<String> = nodes.into_iter().collect();
    let mut edges = BTreeSet::new();
    for (index, (importer, imported)) in document.edges.iter().enumerate() {
        let position = |module: &String| {
            nodes.binary_search(module).map_err(|_| ReadError::Fault {
                path: path.to_owned(),
                place: format!("edges[{index}]"),
                reason: format!("module {module:?} is not among the nodes"),
            })
        };
        edges.insert((position(importer)?, position(imported)?));
    }
    Ok(ImportGraph {
        nodes,
        edges: edges.into_iter().collect(),
    })
}

impl ImportGraph {
    /// Returns the names of the modules, sorted.
    pub fn modules(&self) -> &[String] {
        &self.nodes
    }

    /// Returns the importer and the imported module of each import, sorted, without duplicates.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.edges.iter().map(|&(importer, imported)| {
            (self.nodes[importer].as_str(), self.nodes[imported].as_str())
        })
    }

    /// Returns for each module the number of modules that import it (fan-in) and that it imports
    /// (fan-out).
    pub fn fans(&self) -> BTreeMap<&str, Fan> {
        let mut fans: BTreeMap<&str, Fan> = self
            .nodes
            .iter()
            .map(|module| (module.as_str(), Fan::default()))
            .collect();
        for (importer, imported) in self.imports() {
            fans.entry(importer).or_default().fan_out += 1;
            fans.entry(imported).or_default().fan_in += 1;
        }
        fans
    }

    /// Returns the groups of two or more modules that import each other in a cycle, which are the
    /// strongly connected components.
    ///
    /// Each group is sorted, and the largest is the first.
    pub fn cycles(&self) -> Vec<Vec<&str>> {
        let mut cycles: Vec<Vec<&str>> = components(self.nodes.len(), &self.edges)
            .into_iter()
            .filter(|component| component.len() > 1)
            .map(|component| {
                component
                    .into_iter()
                    .map(|node| self.nodes[node].as_str())
                    .collect()
            })
            .collect();
        cycles.iter_mut().for_each(|cycle| cycle.sort_unstable());
        cycles.sort_unstable_by(|one, other| {
            other.len().cmp(&one.len()).then_with(|| one.cmp(other))
        });
        cycles
    }

    /// Returns the file of each module that is among `files`.
    ///
    /// `a.b` is `a/b.py` or `a/b/__init__.py`, below any directory that contains the sources. If
    /// there are several, the one with the shortest path is used.
    pub fn files<'a>(&self, files: impl IntoIterator<Item = &'a str>) -> BTreeMap<&str, &'a str> {
        let mut file_of_module: HashMap<String, &str> = HashMap::new();
        for file in files {
            let Some(stem) = file.strip_suffix(".py") else {
                continue;
            };
            let stem = stem.strip_suffix("/__init__").unwrap_or(stem);
            let below = stem.match_indices('/').map(|(slash, _)| &stem[slash + 1..]);
            for tail in std::iter::once(stem).chain(below) {
                let known = file_of_module.entry(tail.replace('/', ".")).or_insert(file);
                if (file.len(), file) < (known.len(), *known) {
                    *known = file;
                }
            }
        }
        let file_of = |module: &String| file_of_module.get(module).copied();
        self.nodes
            .iter()
            .filter_map(|module| Some((module.as_str(), file_of(module)?)))
            .collect()
    }
}

/// The numbers of modules that import a module and that it imports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fan {
    /// The number of modules that import it.
    pub fan_in: u32,
    /// The number of modules that it imports.
    pub fan_out: u32,
}

/// Returns the strongly connected components by Tarjan's algorithm, without recursion, so that a
/// long chain cannot overflow the stack.
fn components(nodes: usize, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut successors = vec![Vec::new(); nodes];
    for &(from, to) in edges {
        successors[from].push(to);
    }
    let mut order: Vec<Option<usize>> = vec![None; nodes];
    let mut lowest = vec![0; nodes];
    let mut open = Vec::new();
    let mut is_open = vec![false; nodes];
    let mut visited = 0;
    let mut found = Vec::new();

    for root in 0..nodes {
        if order[root].is_some() {
            continue;
        }
        let mut walk = vec![(root, 0)];
        while let Some((node, next)) = walk.pop() {
            if next == 0 {
                order[node] = Some(visited);
                lowest[node] = visited;
                visited += 1;
                open.push(node);
                is_open[node] = true;
            }
            if let Some(&successor) = successors[node].get(next) {
                walk.push((node, next + 1));
                match order[successor] {
                    None => walk.push((successor, 0)),
                    Some(seen) if is_open[successor] => lowest[node] = lowest[node].min(seen),
                    Some(_) => {}
                }
                continue;
            }
            if order[node] == Some(lowest[node])
                && let Some(start) = open.iter().rposition(|&member| member == node)
            {
                let component = open.split_off(start);
                component.iter().for_each(|&member| is_open[member] = false);
                found.push(component);
            }
            if let Some(&(parent, _)) = walk.last() {
                lowest[parent] = lowest[parent].min(lowest[node]);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::file;
    use super::*;

    fn graph(content: &str) -> Result<ImportGraph, ReadError> {
        let (_folder, path) = file("imports.json", content.as_bytes());
        read(&path)
    }

    #[test]
    fn cycles_are_the_components_of_more_than_one_module() {
        let graph = graph(
            r#"{"nodes": ["a", "b", "c", "d", "e", "f", "g"],
                "edges": [["a","b"], ["b","c"], ["c","a"], ["c","d"], ["d","e"], ["e","d"], ["f","f"], ["f","a"],
                          ["a","b"], ["g","e"]]}"#,
        )
        .unwrap();
        assert_eq!(graph.cycles(), [vec!["a", "b", "c"], vec!["d", "e"]]);
        assert_eq!(graph.imports().len(), 9);
        assert_eq!(
            graph.fans()["c"],
            Fan {
                fan_in: 1,
                fan_out: 2
            }
        );
        assert_eq!(
            graph.fans()["g"],
            Fan {
                fan_in: 0,
                fan_out: 1
            }
        );
    }

    #[test]
    fn components_agree_with_reachability_on_every_small_graph() {
        const NODES: usize = 4;
        let pairs: Vec<(usize, usize)> = (0..NODES)
            .flat_map(|from| (0..NODES).map(move |to| (from, to)))
            .filter(|(a, b)| a != b)
            .collect();
        for chosen in 0u32..1 << pairs.len() {
            let edges: Vec<_> = (0..)
                .zip(&pairs)
                .filter(|(bit, _)| chosen >> bit & 1 == 1)
                .map(|(_, e)| *e)
                .collect();
            let mut reaches = [[false; NODES]; NODES];
            (0..NODES).for_each(|node| reaches[node][node] = true);
            edges
                .iter()
                .for_each(|&(from, to)| reaches[from][to] = true);
            for middle in 0..NODES {
                for from in 0..NODES {
                    for to in 0..NODES {
                        reaches[from][to] |= reaches[from][middle] && reaches[middle][to];
                    }
                }
            }
            let expected: BTreeSet<Vec<usize>> = (0..NODES)
                .map(|a| {
                    (0..NODES)
                        .filter(|&b| reaches[a][b] && reaches[b][a])
                        .collect()
                })
                .collect();
            let mut found = components(NODES, &edges);
            found
                .iter_mut()
                .for_each(|component| component.sort_unstable());
            assert_eq!(found.len(), expected.len(), "{edges:?}");
            assert_eq!(
                found.into_iter().collect::<BTreeSet<_>>(),
                expected,
                "{edges:?}"
            );
        }
    }

    #[test]
    fn a_long_chain_does_not_overflow_the_stack() {
        let edges: Vec<_> = (0..200_000)
            .map(|node| (node, (node + 1) % 200_000))
            .collect();
        assert_eq!(components(200_000, &edges).len(), 1);
    }

    #[test]
    fn a_module_is_found_as_a_file_or_as_a_package() {
        let graph = graph(r#"{"nodes": ["p", "p.a", "p.b", "p.none"], "edges": []}"#).unwrap();
        let files = [
            "src/p/__init__.py",
            "src/p/a.py",
            "src/p/b/__init__.py",
            "old/src/p/a.py",
            "p/a.txt",
        ];
        let expected = BTreeMap::from([
            ("p", "src/p/__init__.py"),
            ("p.a", "src/p/a.py"),
            ("p.b", "src/p/b/__init__.py"),
        ]);
        assert_eq!(graph.files(files), expected);
    }

    #[test]
    fn the_error_of_an_invalid_edge_has_its_index() {
        let error = graph(r#"{"nodes": ["a"], "edges": [["a", "a"], ["a", "b"]]}"#).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with(": edges[1]: module \"b\" is not among the nodes"),
            "{error}"
        );
        let error = graph(r#"{"nodes": ["a"], "edges": [["a"]]}"#).unwrap_err();
        assert!(matches!(error, ReadError::Json { line: 1, .. }), "{error}");
        assert!(matches!(
            graph(r#"{"nodes": []}"#).unwrap_err(),
            ReadError::Json { .. }
        ));
    }
}
