//! The rows of the two lists, in the order in which they are shown.

use std::cmp::Ordering;

use datacache_proto::types::TagRow;

use super::app::App;
use super::measurement::Namespace;

/// What namespaces can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamespaceColumn {
    Name,
    Entries,
    Bytes,
    Evicted,
    Hits,
    Operations,
}

impl NamespaceColumn {
    pub(super) const ALL: [Self; 6] =
        [Self::Name, Self::Entries, Self::Bytes, Self::Evicted, Self::Hits, Self::Operations];
}

/// What tags can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagColumn {
    Name,
    Entries,
    Bytes,
    Heat,
}

impl TagColumn {
    pub(super) const ALL: [Self; 4] = [Self::Name, Self::Entries, Self::Bytes, Self::Heat];
}

/// A namespace with what happens in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamespaceRow<'a> {
    pub(super) namespace: &'a Namespace,
    /// The share of reads that found something, of late or, where nobody read of late, ever.
    pub(super) hit_ratio: Option<f64>,
    pub(super) operations: f64,
}

impl App {
    /// Returns the namespaces that are shown.
    pub(super) fn namespace_rows(&self) -> Vec<NamespaceRow<'_>> {
        let Some(measurement) = &self.measurement else { return Vec::new() };
        let shown = measurement.namespaces.iter().filter(|namespace| self.namespaces.passes(&namespace.name));
        let mut rows: Vec<_> = shown.map(|namespace| self.namespace_row(namespace)).collect();
        self.namespaces.sort(&mut rows, |column, a, b| {
            let by_bytes = b.namespace.bytes.cmp(&a.namespace.bytes);
            let by_column = match column {
                NamespaceColumn::Name => a.namespace.name.cmp(&b.namespace.name),
                NamespaceColumn::Entries => b.namespace.entries.cmp(&a.namespace.entries),
                NamespaceColumn::Bytes => by_bytes,
                NamespaceColumn::Evicted => b.namespace.evicted.cmp(&a.namespace.evicted),
                NamespaceColumn::Hits => b.hit_ratio.partial_cmp(&a.hit_ratio).unwrap_or(Ordering::Equal),
                NamespaceColumn::Operations => b.operations.total_cmp(&a.operations),
            };
            // Idle, all are equal, and few rows may be seen: the large ones are to be among them.
            by_column.then(by_bytes)
        });
        rows
    }

    fn namespace_row<'a>(&self, namespace: &'a Namespace) -> NamespaceRow<'a> {
        let hit_ratio = self.history.hit_ratio(&namespace.name).or_else(|| namespace.traffic.hit_ratio());
        NamespaceRow { namespace, hit_ratio, operations: self.history.last(Some(&namespace.name)).operations() }
    }

    /// Returns the tags that are shown: those of the namespace that is selected, or all.
    pub(super) fn tag_rows(&self) -> Vec<&TagRow> {
        let is_selected = |row: &&TagRow| self.selected.as_ref().is_none_or(|selected| *selected == row.namespace);
        let mut rows: Vec<_> =
            self.tag_stats.rows.iter().filter(is_selected).filter(|row| self.tags.passes(&row.tag)).collect();
        self.tags.sort(&mut rows, |column, a, b| match column {
            TagColumn::Name => (&a.tag, &a.namespace).cmp(&(&b.tag, &b.namespace)),
            TagColumn::Entries => b.entries.cmp(&a.entries),
            TagColumn::Bytes => b.bytes.cmp(&a.bytes),
            TagColumn::Heat => (b.heat, b.entries).cmp(&(a.heat, a.entries)),
        });
        rows
    }

    pub(super) fn namespace_names(&self) -> Vec<String> {
        self.namespace_rows().iter().map(|row| row.namespace.name.clone()).collect()
    }

    /// Returns what tells the tags apart that are shown.
    pub(super) fn tag_names(&self) -> Vec<String> {
        self.tag_rows().iter().map(|row| format!("{}\0{}", row.namespace, row.tag)).collect()
    }
}
