//! Generates what reads a table's rows: the columns to select, and the decoding.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Path, Result, Type, parenthesized};

/// Calls `option` for each option of `#[diesel(...)]`.
fn each_option(
    attributes: &[Attribute],
    mut option: impl FnMut(&ParseNestedMeta<'_>) -> Result<bool>,
) -> Result<()> {
    let attributes = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("diesel"));
    for attribute in attributes {
        attribute.parse_nested_meta(|meta| {
            if option(&meta)? {
                return Ok(());
            }
            // An option of another derive.
            if meta.input.peek(syn::token::Paren) {
                let arguments;
                parenthesized!(arguments in meta.input);
                arguments.parse::<TokenStream>()?;
            } else if meta.input.peek(syn::Token![=]) {
                meta.value()?.parse::<Type>()?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Returns the type after `name =` among the options of `#[diesel(...)]`.
fn option_of(attributes: &[Attribute], name: &str) -> Result<Option<Type>> {
    let mut found = None;
    each_option(attributes, |meta| {
        if !meta.path.is_ident(name) {
            return Ok(false);
        }
        found = Some(meta.value()?.parse()?);
        Ok(true)
    })?;
    Ok(found)
}

pub fn table_row(input: DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let table = match option_of(&input.attrs, "table_name")? {
        Some(Type::Path(table)) => table.path,
        _ => {
            let message = "#[diesel(table_name = ...)] is missing";
            return Err(Error::new_spanned(name, message));
        }
    };
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input, "expected a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(&input, "expected named fields"));
    };
    let names = fields.named.iter().filter_map(|field| field.ident.as_ref());
    let names: Vec<_> = names.collect();
    let columns = names.iter().map(|name| name.unraw().to_string());
    let sql_types: Vec<_> = names.iter().map(|name| sql_type(&table, name)).collect();
    let reads = fields.named.iter().zip(&names).zip(&sql_types).enumerate();
    let reads = reads
        .map(|(index, ((field, name), sql_type))| {
            let read = quote!(::wundr_db::__private::mapping::field);
            Ok(match option_of(&field.attrs, "deserialize_as")? {
                Some(ty) => quote!(#name: #read::<#sql_type, #ty>(row, #index)?.into()),
                None => quote!(#name: #read::<#sql_type, _>(row, #index)?),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let count = names.len();
    let key = fields
        .named
        .iter()
        .zip(&names)
        .find(|(_, name)| **name == "id");
    let Some((syn::Field { ty: key, .. }, _)) = key else {
        return Err(Error::new_spanned(name, "expected a field `id`"));
    };
    let row_sql = quote!(::wundr_db::__private::mapping::RowSql<Self>);
    Ok(quote! {
        impl ::wundr_db::__private::mapping::TableRow for #name {
            type Id = #key;
            type Table = #table::table;
            const COLUMNS: &'static [&'static str] = &[#(#columns),*];

            fn id(&self) -> Self::Id {
                self.id
            }
        }

        impl ::wundr_db::diesel::deserialize::FromSqlRow<#row_sql, ::wundr_db::diesel::pg::Pg> for #name {
            fn build_from_row<'a>(
                row: &impl ::wundr_db::diesel::row::Row<'a, ::wundr_db::diesel::pg::Pg>,
            ) -> ::wundr_db::diesel::deserialize::Result<Self> {
                ::core::result::Result::Ok(Self { #(#reads),* })
            }
        }

        impl ::wundr_db::diesel::deserialize::StaticallySizedRow<#row_sql, ::wundr_db::diesel::pg::Pg> for #name {
            const FIELD_COUNT: usize = #count;
        }

        // For an application's own queries, by `as_select` or of all columns.
        impl ::wundr_db::diesel::deserialize::FromSqlRow<(#(#sql_types,)*), ::wundr_db::diesel::pg::Pg> for #name {
            fn build_from_row<'a>(
                row: &impl ::wundr_db::diesel::row::Row<'a, ::wundr_db::diesel::pg::Pg>,
            ) -> ::wundr_db::diesel::deserialize::Result<Self> {
                <Self as ::wundr_db::diesel::deserialize::FromSqlRow<#row_sql, ::wundr_db::diesel::pg::Pg>>::build_from_row(row)
            }
        }

        impl ::wundr_db::diesel::deserialize::StaticallySizedRow<(#(#sql_types,)*), ::wundr_db::diesel::pg::Pg> for #name {
            const FIELD_COUNT: usize = #count;
        }

        impl ::wundr_db::diesel::Selectable<::wundr_db::diesel::pg::Pg> for #name {
            type SelectExpression = (#(#table::#names,)*);

            fn construct_selection() -> Self::SelectExpression {
                (#(#table::#names,)*)
            }
        }
    })
}

/// Returns the SQL type of a column.
fn sql_type(table: &Path, column: &syn::Ident) -> TokenStream {
    quote!(::wundr_db::diesel::dsl::SqlTypeOf<#table::#column>)
}
