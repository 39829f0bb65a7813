//! Reads the options and the fields of a table's structs.

use syn::ext::IdentExt as _;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, Fields, GenericArgument, Ident, LitInt, LitStr,
    Path, PathArguments, Result, Type, parenthesized,
};

/// The options of `#[row(...)]` on a struct.
#[derive(Default)]
pub struct StructOptions {
    pub table: Option<Path>,
    pub row: Option<Path>,
    pub id: Option<Path>,
    pub conflict: Option<LitStr>,
    pub keep: Vec<Ident>,
    pub bare: bool,
    pub body: Option<Body>,
}

/// The struct of the fields that a body of a request may have.
pub struct Body {
    pub name: Ident,
    pub fields: Vec<Ident>,
}

/// The options of `#[row(...)]` on a field.
#[derive(Default)]
pub struct FieldOptions {
    pub default: Option<Expr>,
    pub or: Option<LitStr>,
    pub expected: bool,
    pub precision: Option<LitInt>,
    pub scale: Option<LitInt>,
}

pub struct Field {
    pub name: Ident,
    pub ty: Type,
    pub docs: Vec<Attribute>,
    pub options: FieldOptions,
}

impl Field {
    pub fn is(&self, wrapper: &str) -> bool {
        argument_of(&self.ty, wrapper).is_some()
    }

    /// Returns the column's name. A raw identifier such as `r#type` stands for `type`.
    pub fn column(&self) -> String {
        let name = self.name.to_string();
        name.strip_prefix("r#").unwrap_or(&name).to_owned()
    }
}

/// Returns the `T` of `wrapper<T>`.
pub fn argument_of<'t>(ty: &'t Type, wrapper: &str) -> Option<&'t Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    match arguments.args.first()? {
        GenericArgument::Type(argument) if segment.ident == wrapper => Some(argument),
        _ => None,
    }
}

pub fn struct_options(input: &DeriveInput) -> Result<StructOptions> {
    let mut options = StructOptions::default();
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("row"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("table") {
                options.table = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("row") {
                options.row = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("id") {
                options.id = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("conflict") {
                options.conflict = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("bare") {
                options.bare = true;
            } else if meta.path.is_ident("keep") {
                let names;
                parenthesized!(names in meta.input);
                options.keep = names
                    .parse_terminated(Ident::parse_any, syn::Token![,])?
                    .into_iter()
                    .collect();
            } else if meta.path.is_ident("body") {
                let content;
                parenthesized!(content in meta.input);
                let name = content.parse()?;
                content.parse::<syn::Token![:]>()?;
                let fields = content.parse_terminated(Ident::parse_any, syn::Token![,])?;
                options.body = Some(Body {
                    name,
                    fields: fields.into_iter().collect(),
                });
            } else {
                let message = "the options of a struct are `table`, `row`, `id`, `conflict`, `keep`, `bare` and `body`";
                return Err(meta.error(message));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

pub fn fields_of(input: &DeriveInput) -> Result<Vec<Field>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(input, "expected a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(input, "expected named fields"));
    };
    fields
        .named
        .iter()
        .map(|field| {
            let mut options = FieldOptions::default();
            for attribute in field
                .attrs
                .iter()
                .filter(|attribute| attribute.path().is_ident("row"))
            {
                attribute.parse_nested_meta(|meta| {
                    if meta.path.is_ident("default") {
                        options.default = Some(meta.value()?.parse()?);
                    } else if meta.path.is_ident("or") {
                        options.or = Some(meta.value()?.parse()?);
                    } else if meta.path.is_ident("expected") {
                        options.expected = true;
                    } else if meta.path.is_ident("precision") {
                        options.precision = Some(meta.value()?.parse()?);
                    } else if meta.path.is_ident("scale") {
                        options.scale = Some(meta.value()?.parse()?);
                    } else {
                        let message = "the options of a field are `default`, `or`, `expected`, \
                                       `precision` and `scale`";
                        return Err(meta.error(message));
                    }
                    Ok(())
                })?;
            }
            let name = field
                .ident
                .clone()
                .ok_or_else(|| Error::new_spanned(field, "expected a name"))?;
            let docs = field
                .attrs
                .iter()
                .filter(|attribute| attribute.path().is_ident("doc"))
                .cloned()
                .collect();
            Ok(Field {
                name,
                ty: field.ty.clone(),
                docs,
                options,
            })
        })
        .collect()
}

pub fn required<T>(option: Option<T>, name: &str, of: &Ident) -> Result<T> {
    option.ok_or_else(|| {
        let message = format!("`{of}` needs the option `{name}`: #[row({name} = ...)]");
        Error::new_spanned(of, message)
    })
}

/// Refuses a field whose type is none of these wrappers.
pub fn expect_wrapped(
    fields: &[Field],
    wrappers: &[&str],
    others: &[&str],
    hint: &str,
) -> Result<()> {
    let is_plain =
        |ty: &Type, name: &str| matches!(ty, Type::Path(path) if path.path.is_ident(name));
    for field in fields {
        let is_wrapped = wrappers.iter().any(|wrapper| field.is(wrapper));
        if !is_wrapped && !others.iter().any(|other| is_plain(&field.ty, other)) {
            let message = format!("the field `{}` must be {hint}", field.name);
            return Err(Error::new_spanned(&field.ty, message));
        }
    }
    Ok(())
}
