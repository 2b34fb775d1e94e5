//! Access to lists and objects of JSON: what operators and loops ask of them.

use cel::ExecutionError;
use cel::common::traits::{self, Adder, Container, Indexer, Iterable, Sizer, Zeroer};
use cel::common::types::{CelInt, CelList, CelString};
use cel::common::value::{CowVal, Val};

use super::super::equal;
use super::super::given::mismatch;
use super::{JsonList, JsonObject, Node};

impl Adder for JsonList<'_> {
    fn add<'b, 'w>(&'b self, rhs: &(dyn Val + 'w)) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        let mut rhs = rhs.as_iterable().ok_or_else(|| mismatch("_+_"))?.iter();
        let mut sum: Vec<Box<dyn Val + 'w>> =
            self.0.iter().map(|node| node.val(false).clone_as_boxed()).collect();
        while let Some(element) = rhs.next() {
            sum.push(element.clone_as_boxed());
        }
        Ok(CowVal::owned(CelList::from(sum)))
    }
}

impl Container for JsonList<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        equal::contains(self, value)
    }
}

impl Container for JsonObject<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(key.downcast_ref::<CelString>().is_some_and(|key| self.find(key.inner()).is_some()))
    }
}

impl Indexer for JsonList<'_> {
    fn get<'b, 'w>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.at(index).map(|node| CowVal::Borrowed(node.val(false)))
    }

    fn steal<'w>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.at(index).map(|node| node.val(false).clone_as_boxed())
    }
}

impl Indexer for JsonObject<'_> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        let name = key.downcast_ref::<CelString>().ok_or_else(|| mismatch("_[_]"))?;
        let node = self.find(name.inner());
        node.map(|node| CowVal::Borrowed(node.val(self.is_sent)))
            .ok_or_else(|| ExecutionError::no_such_key(name.inner()))
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.get(key).map(|value| value.as_ref().clone_as_boxed())
    }
}

/// Elements, one after the other.
struct Elements<'b, 'v>(std::slice::Iter<'b, Node<'v>>);

/// Keys, one after the other.
struct Keys<'b, 'v>(std::slice::Iter<'b, (CelString<'v>, Node<'v>)>);

impl<'b, 'v: 'w, 'w> traits::Iterator<'b, 'w> for Elements<'b, 'v> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'w)> {
        self.0.next().map(|node| node.val(false) as &(dyn Val + 'w))
    }
}

impl<'b, 'v: 'w, 'w> traits::Iterator<'b, 'w> for Keys<'b, 'v> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'w)> {
        self.0.next().map(|(key, _)| key as &(dyn Val + 'w))
    }
}

impl Iterable for JsonList<'_> {
    fn iter<'b, 'w>(&'b self) -> Box<dyn traits::Iterator<'b, 'w> + 'b>
    where
        Self: 'w,
    {
        Box::new(Elements(self.0.iter()))
    }
}

impl Iterable for JsonObject<'_> {
    fn iter<'b, 'w>(&'b self) -> Box<dyn traits::Iterator<'b, 'w> + 'b>
    where
        Self: 'w,
    {
        Box::new(Keys(self.entries.iter()))
    }
}

impl Sizer for JsonList<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.0.len()).unwrap_or(i64::MAX))
    }
}

impl Sizer for JsonObject<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.entries.len()).unwrap_or(i64::MAX))
    }
}

impl Zeroer for JsonList<'_> {
    fn is_zero_value(&self) -> bool {
        self.0.is_empty()
    }
}

impl Zeroer for JsonObject<'_> {
    fn is_zero_value(&self) -> bool {
        self.entries.is_empty()
    }
}
