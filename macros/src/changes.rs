//! Generates what updates a table's rows, for the derive `Changes`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Result};

use crate::row_options::{Field, expect_wrapped, fields_of, required, struct_options};
use crate::setters::{checks, setter};

pub fn changes(input: DeriveInput) -> Result<TokenStream> {
    let options = struct_options(&input)?;
    let table = required(options.table, "table", &input.ident)?;
    let row = required(options.row, "row", &input.ident)?;
    let id = required(options.id, "id", &input.ident)?;
    let (name, fields) = (&input.ident, fields_of(&input)?);
    let hint = "an `Option` if its column is NOT NULL, or a `Change` if it is nullable";
    expect_wrapped(&fields, &["Option", "Change"], &[], hint)?;
    let setters = fields.iter().map(setter);
    let expected = fields.iter().find(|field| field.options.expected);
    let changed = fields
        .iter()
        .filter(|field| !field.options.expected)
        .collect::<Vec<_>>();

    let columns = changed.iter().map(|field| {
        let (name, column) = (&field.name, field.column());
        quote! {
            ::wundr_db::__private::mapping::ChangedColumn {
                name: #column,
                cast: <::wundr_db::diesel::dsl::SqlTypeOf<#table::#name> as ::wundr_db::__private::mapping::Encoding>::CAST,
            }
        }
    });
    let indices = 0..changed.len();
    let names = changed.iter().map(|field| &field.name).collect::<Vec<_>>();
    let encoded = changed.iter().map(|field| {
        let name = &field.name;
        let encoding = quote!(<::wundr_db::diesel::dsl::SqlTypeOf<#table::#name> as ::wundr_db::__private::mapping::Encoding>::Sql);
        if field.is("Change") {
            encoding
        } else {
            quote!(::wundr_db::diesel::sql_types::Nullable<#encoding>)
        }
    });
    let expectation = match expected {
        Some(Field { name, .. }) => quote!(::core::option::Option::Some(&self.#name)),
        None => quote!(::core::option::Option::None),
    };
    let positions = 0..changed.len();
    let is_set = changed.iter().map(|field| {
        let name = &field.name;
        if field.is("Change") {
            quote!(self.#name.is_set())
        } else {
            quote!(self.#name.is_some())
        }
    });
    let check = checks(&table, &changed);
    Ok(quote! {
        impl #name {
            /// Creates changes without an assignment.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }

            #(#setters)*
        }

        impl ::wundr_db::__private::mapping::Changes for #name {
            type Row = #row;
            type Id = #id;
            type Table = #table::table;
            const COLUMNS: &'static [::wundr_db::__private::mapping::ChangedColumn] = &[#(#columns),*];

            fn is_set(&self, index: usize) -> bool {
                match index {
                    #(#positions => #is_set,)*
                    _ => false,
                }
            }

            fn bind<'b>(
                &'b self,
                index: usize,
                out: &mut ::wundr_db::diesel::query_builder::AstPass<'_, 'b, ::wundr_db::diesel::pg::Pg>,
            ) -> ::wundr_db::diesel::QueryResult<()> {
                match index {
                    #(#indices => out.push_bind_param::<#encoded, _>(&self.#names),)*
                    _ => ::core::result::Result::Ok(()),
                }
            }

            fn expected(&self) -> ::core::option::Option<&::core::option::Option<::wundr_db::chrono::DateTime<::wundr_db::chrono::Utc>>> {
                #expectation
            }

            #check
        }
    })
}
