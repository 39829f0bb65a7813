//! Generates the struct that a body of a request is parsed into.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt as _;
use syn::{Error, Ident, Result, Type};

use crate::row_options::{Body, Field, argument_of};

/// Checks whether a type has this name.
fn is_named_type(ty: &Type, name: &str) -> bool {
    let Type::Path(path) = ty else {
        return false;
    };
    let last = path.path.segments.last();
    last.is_some_and(|last| last.ident == name)
}

/// Returns the type that stands for a field's type in a schema, if it is another one.
fn schema_of(ty: &Type) -> Option<TokenStream> {
    for wrapper in ["Option", "Vec"] {
        if let Some(inner) = argument_of(ty, wrapper) {
            let (inner, wrapper) = (schema_of(inner)?, Ident::new(wrapper, Span::call_site()));
            return Some(quote!(#wrapper<#inner>));
        }
    }
    if let Some(inner) = argument_of(ty, "Json") {
        return Some(schema_of(inner).unwrap_or_else(|| quote!(#inner)));
    }
    [
        ("Document", quote!(serde_json::Value)),
        ("Secret", quote!(serde_json::Value)),
        ("BigDecimal", quote!(String)),
        (
            "Fields",
            quote!(std::collections::HashMap<String, serde_json::Value>),
        ),
    ]
    .into_iter()
    .find_map(|(name, schema)| is_named_type(ty, name).then_some(schema))
}

/// Generates the struct of the fields that a body of a request may have, and its conversion into
/// the new row. What the row needs besides is passed by code.
pub fn body_of(new: &Ident, body: &Body, fields: &[Field]) -> Result<TokenStream> {
    let is_named = |field: &&Field| {
        body.fields
            .iter()
            .any(|named| named.unraw() == field.column())
    };
    if let Some(unknown) = body
        .fields
        .iter()
        .find(|named| fields.iter().all(|field| named.unraw() != field.column()))
    {
        return Err(Error::new_spanned(unknown, "there is no such field"));
    }
    let is_required = |field: &&Field| !field.is("Option") && field.options.default.is_none();
    // `cfg` is that of the crate with the struct: another crate has no such feature, or one of its
    // own with another meaning.
    let has_schema = std::env::var("CARGO_PKG_NAME").is_ok_and(|package| package == "wundr-db");
    let declared = fields.iter().filter(is_named).map(|field| {
        let Field { name, ty, docs, .. } = field;
        let schema = schema_of(ty).filter(|_| has_schema);
        let schema = schema
            .map(|schema| quote!(#[cfg_attr(feature = "utoipa", schema(value_type = #schema))]));
        let is_decimal = is_named_type(argument_of(ty, "Option").unwrap_or(ty), "BigDecimal");
        let read = match (is_decimal, field.is("Option")) {
            (false, _) => TokenStream::new(),
            (true, true) => {
                quote!(#[serde(default, deserialize_with = "::wundr_db::__private::read_decimal")])
            }
            (true, false) => {
                quote!(#[serde(deserialize_with = "::wundr_db::__private::read_decimal")])
            }
        };
        quote!(#(#docs)* #schema #read pub #name: #ty)
    });
    let missing = fields
        .iter()
        .filter(is_required)
        .filter(|field| !is_named(field));
    let parameters =
        missing.map(|Field { name, ty, .. }| quote!(#name: impl ::core::convert::Into<#ty>));
    let arguments = fields.iter().filter(is_required).map(|field| {
        let name = &field.name;
        if is_named(&field) {
            quote!(self.#name)
        } else {
            quote!(#name)
        }
    });
    let optional = fields
        .iter()
        .filter(is_named)
        .filter(|field| !is_required(field));
    let optional = optional.map(|field| &field.name).collect::<Vec<_>>();
    let body = &body.name;
    let schema =
        has_schema.then(|| quote!(#[cfg_attr(feature = "utoipa", derive(::utoipa::ToSchema))]));
    let summary = format!(
        "The fields of a [`{new}`] that a body of a request may have. It has none that raises rights, and refuses unknown ones."
    );
    let conversion =
        format!("Creates the [`{new}`] from the fields, and from what a body does not decide.");
    Ok(quote! {
        #[doc = #summary]
        #[derive(Debug, Clone, PartialEq, ::serde::Deserialize)]
        #schema
        #[serde(deny_unknown_fields)]
        #[non_exhaustive]
        pub struct #body {
            #(#declared,)*
        }

        impl #body {
            #[doc = #conversion]
            #[must_use]
            pub fn into_new(self #(, #parameters)*) -> #new {
                let mut new = #new::new(#(#arguments),*);
                #(new.#optional = self.#optional;)*
                new
            }
        }
    })
}
