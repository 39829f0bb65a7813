//! Cursors and the fields of a page in OpenAPI documents.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema};

use super::{Cursor, DEFAULT_LIMIT, ListQuery, MAX_LIMIT, Page};

crate::types::openapi::schema!(
    Cursor,
    ObjectBuilder::new().schema_type(Type::String).into()
);

fn parameter(name: &str, description: &str, schema: RefOr<Schema>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// The fields of a page in a query string.
impl<O: PartialSchema> IntoParams for Page<O> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let limit = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(MAX_LIMIT))
            .default(Some(DEFAULT_LIMIT.into()));
        let switch = || ObjectBuilder::new().schema_type(Type::Boolean);
        vec![
            parameter("limit", "The largest number of rows.", limit.into()),
            parameter("order", "The order of the rows.", O::schema()),
            parameter(
                "after",
                "The cursor that the page follows.",
                Cursor::schema(),
            ),
            parameter(
                "before",
                "The cursor that the page precedes.",
                Cursor::schema(),
            ),
            parameter("last", "True for the last page.", switch().into()),
            parameter("total", "True to count all rows.", switch().into()),
        ]
    }
}

/// The fields of the filter and those of the page.
impl<F: IntoParams, O: PartialSchema> IntoParams for ListQuery<F, O> {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = F::into_params(&place);
        parameters.extend(Page::<O>::into_params(place));
        parameters
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::mapping::TableRow as _;
    use crate::{
        AnalysisIssueFilter, AnalysisIssueOrder, Error, Paged, Problem, User, UserChanges, UserId,
        UserOrder, UserRole,
    };

    fn schema_of<T: PartialSchema>() -> Value {
        serde_json::to_value(T::schema()).unwrap()
    }

    fn properties(schema: &Value) -> BTreeSet<&str> {
        let properties = schema["properties"].as_object().unwrap();
        properties.keys().map(String::as_str).collect()
    }

    macro_rules! rows {
        ($($schema:ident.$table:ident: $name:ident, $row:ident, $new:ident, $id:ident, $secret:tt;)*) => {
            /// The schema of a row has the columns of its table but the secrets.
            #[test]
            fn the_schema_of_a_row_has_its_columns() {
                $({
                    let secrets: &[&str] = &$secret;
                    let is_shown = |column: &&str| *column == "value" || !secrets.contains(column);
                    let columns: BTreeSet<&str> =
                        crate::$row::COLUMNS.iter().copied().filter(is_shown).collect();
                    let schema = schema_of::<crate::$row>();
                    assert_eq!(properties(&schema), columns, "{}", stringify!($row));
                    let id = concat!("#/components/schemas/", stringify!($id));
                    assert!(schema["properties"]["id"].to_string().contains(id), "{schema}");
                })*
            }
        };
    }
    crate::__for_each_table!(rows);

    #[test]
    fn words_and_ids_are_texts() {
        let roles = schema_of::<UserRole>();
        assert_eq!(
            roles,
            json!({
                "type": "string", "enum": ["admin", "manager", "developer", "viewer"]
            })
        );
        assert_eq!(
            schema_of::<UserId>(),
            json!({"type": "string", "format": "uuid"})
        );
        assert_eq!(schema_of::<UserOrder>()["type"], "string");
    }

    #[test]
    fn changes_have_the_fields_that_a_body_may_have() {
        let changes = schema_of::<UserChanges>();
        let expected = [
            "avatar_url",
            "github_username",
            "name",
            "preferences",
            "unchanged_since",
        ];
        assert_eq!(properties(&changes), expected.into());
        assert_eq!(changes["additionalProperties"], false);
        assert!(changes.get("required").is_none(), "{changes}");
    }

    #[test]
    fn a_list_has_the_parameters_of_its_filter_and_its_page() {
        let place = || Some(ParameterIn::Query);
        let parameters = ListQuery::<AnalysisIssueFilter, AnalysisIssueOrder>::into_params(place);
        let parameters = serde_json::to_value(parameters).unwrap();
        let parameters = parameters.as_array().unwrap();
        let names: BTreeSet<&str> = parameters
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        for name in [
            "type",
            "severity",
            "analysis_ids",
            "limit",
            "order",
            "after",
            "total",
        ] {
            assert!(names.contains(name), "{name}: {names:?}");
        }
        let limit = parameters.iter().find(|it| it["name"] == "limit").unwrap();
        assert_eq!(
            limit["schema"],
            json!({"type": "integer", "minimum": 1, "maximum": 100, "default": 20})
        );
        for parameter in parameters {
            assert_eq!(parameter["in"], "query", "{parameter}");
            assert_eq!(parameter["required"], false, "{parameter}");
            assert!(!parameter.to_string().contains("$ref"), "{parameter}");
        }
    }

    #[test]
    fn a_page_and_a_problem_are_as_they_are_sent() {
        let page = schema_of::<Paged<User>>();
        assert_eq!(
            properties(&page),
            ["items", "next", "previous", "total"].into()
        );
        let problem = schema_of::<Problem>();
        let expected = [
            "code",
            "detail",
            "field",
            "index",
            "retryable",
            "status",
            "title",
            "type",
        ];
        assert_eq!(properties(&problem), expected.into());
        let sent = Error::invalid("email", "is empty")
            .in_row("users", 3)
            .problem();
        let sent = serde_json::to_value(sent).unwrap();
        let sent: BTreeSet<&str> = sent
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(sent, expected.into());
    }
}
