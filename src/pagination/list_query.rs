//! The filter and the page of a list, from a query string.

use std::cell::RefCell;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use serde::de::value::{Error as ValueError, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::{Page, PageFields};
use crate::{Error, Result};

/// The fields of a [`Page`].
const OF_PAGE: [&str; 6] = ["limit", "order", "after", "before", "last", "total"];

/// A filter and a page, as a client of a web service gives them in a query string.
///
/// The fields `limit`, `order`, `after`, `before`, `last` and `total` are the page's, all others
/// the filter's. A field that neither has is refused. A list of values is separated by commas.
///
/// Set what the client must not choose after reading it, for example the project.
///
/// # Examples
/// ```
/// use wundr_db::{ListQuery, Page, UserFilter, UserOrder, UserRole};
///
/// let query: ListQuery<UserFilter, UserOrder> =
///     "role=admin&search=ada%20l&order=name&limit=50".parse()?;
/// assert_eq!(query.filter, UserFilter::new().role(UserRole::Admin).search("ada l"));
/// assert_eq!(query.page, Page::new().order(UserOrder::Name).limit(50));
///
/// let refused = "rôle=admin".parse::<ListQuery<UserFilter, UserOrder>>();
/// assert!(refused.is_err());
/// # Ok::<(), wundr_db::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ListQuery<F, O> {
    /// The filter.
    pub filter: F,
    /// The page.
    pub page: Page<O>,
}

impl<F, O> FromStr for ListQuery<F, O>
where
    F: DeserializeOwned,
    O: DeserializeOwned + Default,
{
    type Err = Error;

    /// # Errors
    /// - [`Error::InvalidInput`] with the field, if a field is unknown, is given twice or has an
    ///   invalid value
    fn from_str(query: &str) -> Result<Self> {
        let (of_page, of_filter) = pairs_of(query)?
            .into_iter()
            .partition(|(field, _)| OF_PAGE.contains(&field.as_str()));
        Ok(Self {
            filter: read(of_filter)?,
            page: read::<PageFields<O>>(of_page)?.try_into()?,
        })
    }
}

/// Reads the fields of a query string.
///
/// # Errors
/// - [`Error::InvalidInput`] with the field, if a field is unknown, is given twice or has an
///   invalid value
pub fn from_query<T: DeserializeOwned>(query: &str) -> Result<T> {
    read(pairs_of(query)?)
}

fn pairs_of(query: &str) -> Result<Vec<(String, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(decoded).collect()
}

/// Decodes `field=value`, in which a space is written `+` or `%20`.
fn decoded(pair: &str) -> Result<(String, String)> {
    let (field, value) = pair.split_once('=').unwrap_or((pair, ""));
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let text = percent_decode_str(&text).decode_utf8();
        let text = text.map_err(|error| Error::invalid(field.to_owned(), error))?;
        match text.contains('\0') {
            // The server's error would not name the field.
            true => Err(Error::invalid(
                field.to_owned(),
                "contains the character U+0000",
            )),
            false => Ok(text.into_owned()),
        }
    };
    Ok((decode(field)?, decode(value)?))
}

fn read<T: DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<T> {
    let current = RefCell::new(String::new());
    let fields = pairs.into_iter().map(|(field, value)| {
        current.replace(field.clone());
        (field, Text(value))
    });
    let outcome = T::deserialize(MapDeserializer::<_, ValueError>::new(fields));
    outcome.map_err(|error| Error::invalid(current.take(), error))
}

/// A value as text, which is read as the type that is expected.
struct Text(String);

impl<'de> IntoDeserializer<'de, ValueError> for Text {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Reads a number or a truth value from its text.
macro_rules! parsed {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            visitor.$visit(self.0.parse().map_err(ValueError::custom)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Text {
    type Error = ValueError;

    parsed! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i8
        deserialize_i16 visit_i16
        deserialize_i32 visit_i32
        deserialize_i64 visit_i64
        deserialize_u8 visit_u8
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
        deserialize_f32 visit_f32
        deserialize_f64 visit_f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        let text: serde::de::value::StringDeserializer<ValueError> = self.0.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let values = self.0.split(',').filter(|value| !value.is_empty());
        let values: Vec<Text> = values.map(|value| Text(value.to_owned())).collect();
        visitor.visit_seq(SeqDeserializer::new(values.into_iter()))
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AnalysisIssueFilter, AnalysisIssueOrder, AuditAction, AuditLogFilter, AuditLogOrder,
        IssueSeverity, ProjectFilter, ProjectId, ProjectOrder, UserFilter, UserOrder,
    };

    fn users(query: &str) -> Result<ListQuery<UserFilter, UserOrder>> {
        query.parse()
    }

    /// Returns the field that an error names.
    fn refused(query: &str) -> String {
        match users(query) {
            Err(Error::InvalidInput { field, .. }) => field.into_owned(),
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn each_type_of_field_is_read() {
        let query = users("is_active=true&created_from=2024-02-03T04:05:06Z&total=true").unwrap();
        assert_eq!(query.filter.is_active, Some(true));
        let from = query.filter.created_from.unwrap();
        assert_eq!(from.to_rfc3339(), "2024-02-03T04:05:06+00:00");
        assert_eq!(query.page, Page::new().with_total());

        let project = ProjectId::new();
        let text = format!("organization_id={project}");
        let query: ListQuery<ProjectFilter, ProjectOrder> = text.parse().unwrap();
        assert_eq!(
            query.filter.organization_id.unwrap().to_string(),
            project.to_string()
        );

        let query: ListQuery<AnalysisIssueFilter, AnalysisIssueOrder> =
            "severity=critical&last=true".parse().unwrap();
        assert_eq!(query.filter.severity, Some(IssueSeverity::Critical));

        let query: ListQuery<AuditLogFilter, AuditLogOrder> =
            "actions=create,delete".parse().unwrap();
        assert_eq!(
            query.filter.actions.as_deref(),
            Some([AuditAction::Create, AuditAction::Delete].as_slice())
        );
    }

    #[test]
    fn an_empty_query_is_the_first_page_of_all() {
        let query = users("").unwrap();
        assert_eq!((query.filter, query.page), (UserFilter::new(), Page::new()));
    }

    #[test]
    fn what_is_wrong_names_its_field() {
        assert_eq!(refused("hue=red"), "hue");
        assert_eq!(refused("is_active=perhaps"), "is_active");
        assert_eq!(refused("role=emperor"), "role");
        assert_eq!(refused("order=hue"), "order");
        assert_eq!(refused("limit=ten"), "limit");
        assert_eq!(refused("is_active=true&is_active=false"), "is_active");
        assert_eq!(refused("search=%ff"), "search");
        assert_eq!(refused("search=a%00"), "search");
        for limit in [
            "limit=0",
            "limit=101&total=true",
            "order=name&limit=0&last=true",
        ] {
            assert_eq!(refused(limit), "limit");
            let alone = limit.parse::<Page<UserOrder>>();
            assert!(matches!(alone, Err(Error::InvalidInput { field, .. }) if field == "limit"));
        }
        let cursor = crate::Cursor::new("users.name", &"Ada".to_owned(), crate::UserId::new());
        for twice in [
            format!("after={cursor}&before={cursor}&limit=7"),
            format!("last=true&after={cursor}&order=name"),
        ] {
            assert_eq!(refused(&twice), "after");
        }
    }

    #[test]
    fn a_filter_and_a_page_are_read_alone_too() {
        let filter: UserFilter = "is_active=true".parse().unwrap();
        assert_eq!(filter, UserFilter::new().is_active(true));
        let page: Page<UserOrder> = "limit=7&total=true".parse().unwrap();
        assert_eq!(page, Page::new().limit(7).with_total());
        for refused in [
            "limit=7".parse::<UserFilter>().map(drop),
            "is_active=true".parse::<Page<UserOrder>>().map(drop),
        ] {
            assert!(matches!(refused, Err(Error::InvalidInput { .. })));
        }
        let filter: AuditLogFilter = "actions=".parse().unwrap();
        assert_eq!(filter, AuditLogFilter::new().actions([]));
    }

    #[test]
    fn a_page_is_read_from_what_it_displays() {
        let cursor = crate::Cursor::new("users.name", &"Ada & Co".to_owned(), crate::UserId::new());
        let page = Page::new().order(UserOrder::Name);
        for page in [
            page.clone(),
            page.clone().last().with_total(),
            page.clone().after(cursor.clone()).limit(100),
            page.before(cursor),
        ] {
            assert_eq!(page.to_string().parse::<Page<UserOrder>>().unwrap(), page);
        }
    }

    #[test]
    fn an_order_is_named_in_snake_case() {
        for order in ["name", "newest"] {
            let parsed: UserOrder = order.parse().unwrap();
            assert_eq!(parsed.to_string(), order);
        }
    }
}
