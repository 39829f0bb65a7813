//! Generates the struct that a body of a request is parsed into.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;
use syn::{Error, Ident, Result, Type};

use crate::row_options::{Body, Field, argument_of};

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
        let schema = ["Document", "Secret"].into_iter().any(|opaque| {
            let inner = argument_of(ty, "Option").unwrap_or(ty);
            matches!(inner, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == opaque))
        });
        let schema = match (schema && has_schema, field.is("Option")) {
            (false, _) => TokenStream::new(),
            (true, true) => quote!(#[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]),
            (true, false) => quote!(#[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]),
        };
        quote!(#(#docs)* #schema pub #name: #ty)
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
