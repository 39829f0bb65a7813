//! Generates setters, and the checks of what they set.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Path;

use crate::row_options::{Field, argument_of};

/// Generates a setter with the field's documentation. Its argument is any type that converts into
/// the field's, and for an `Option` also an `Option` of such a type.
pub fn setter(field: &Field) -> TokenStream {
    let Field { name, ty, docs, .. } = field;
    if let Some(inner) = argument_of(ty, "Option") {
        return quote! {
            #(#docs)*
            #[must_use]
            pub fn #name<Form>(mut self, #name: impl ::wundr_db::Optional<#inner, Form>) -> Self {
                self.#name = #name.into_option();
                self
            }
        };
    }
    quote! {
        #(#docs)*
        #[must_use]
        pub fn #name(mut self, #name: impl ::core::convert::Into<#ty>) -> Self {
            self.#name = #name.into();
            self
        }
    }
}

/// Generates the method `check`. The bounds of text columns come from `schema.rs`, the only place
/// that states them.
pub fn checks(table: &Path, fields: &[&Field]) -> TokenStream {
    let checks = fields.iter().map(|field| {
        let name = &field.name;
        let column = field.column();
        match (&field.options.precision, &field.options.scale) {
            (Some(precision), Some(scale)) => quote! {
                ::wundr_db::__private::validation::check_number(&self.#name, #column, #precision, #scale)?;
            },
            _ => quote! {
                ::wundr_db::__private::validation::check(&self.#name, #column, (&Limit::<#table::#name>::NEW).characters())?;
            },
        }
    });
    quote! {
        #[allow(unused_imports, clippy::needless_borrow)]
        fn check(&self) -> ::wundr_db::Result<()> {
            use ::wundr_db::__private::validation::{Limit, Limited as _, Unlimited as _};
            #(#checks)*
            ::core::result::Result::Ok(())
        }
    }
}
