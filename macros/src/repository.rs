//! Compiles the source of one repository for two engines.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::quote;
use syn::parse::Parser as _;
use syn::{
    Attribute, Block, Error, Expr, FnArg, GenericArgument, GenericParam, Ident, ImplItem,
    ImplItemFn, Item, ItemImpl, ItemTrait, Lifetime, Pat, PathArguments, Result, ReturnType,
    Signature, Stmt, TraitItem, TraitItemFn, Type, WherePredicate, parenthesized, parse_quote,
    parse2,
};

/// The mark of a method that exists only in the async engine.
const ASYNCHRONOUS_ONLY: &str = "asynchronous_only";

/// The mark of a method of an `impl` that stays an `async fn` in the async engine.
const UNBOXED: &str = "unboxed";

/// The options of the attribute.
#[derive(Default)]
struct Options {
    /// The methods of an `impl` are observed.
    observed: bool,
    /// Each method of the trait is written or passed on by name.
    exhaustive: bool,
    /// The methods that are passed on to the inner repository.
    passed: Vec<Ident>,
}

impl Options {
    fn parse(options: TokenStream) -> Result<Self> {
        let mut parsed = Self::default();
        let parser = syn::meta::parser(|meta| {
            if meta.path.is_ident("observed") {
                parsed.observed = true;
            } else if meta.path.is_ident("exhaustive") {
                parsed.exhaustive = true;
            } else if meta.path.is_ident("pass") {
                let names;
                parenthesized!(names in meta.input);
                let names =
                    names.parse_terminated(<Ident as syn::parse::Parse>::parse, syn::Token![,])?;
                parsed.passed.extend(names);
            } else {
                let message = "the options are `exhaustive` and `pass(METHOD, ...)`";
                return Err(meta.error(message));
            }
            Ok(())
        });
        parser.parse2(options)?;
        if let (false, Some(name)) = (parsed.exhaustive, parsed.passed.first()) {
            let message = "`pass` needs `exhaustive`: every other method is passed on anyway";
            return Err(Error::new_spanned(name, message));
        }
        Ok(parsed)
    }

    /// Refuses options where they have no meaning.
    fn expect_none(&self, item: &str) -> Result<()> {
        if self.exhaustive {
            let message = format!("`exhaustive` is an option of an implementation, not of {item}");
            return Err(Error::new(Span::call_site(), message));
        }
        Ok(())
    }
}

/// Returns a check that an implementation writes or passes on each method of its trait. `None` if
/// it is not exhaustive.
///
/// The macro does not have the trait: the methods' names are a constant of the trait object's type.
fn exhaustive(options: &Options, item: &ItemImpl) -> Result<Option<TokenStream>> {
    if !options.exhaustive {
        return Ok(None);
    }
    let Some((_, path, _)) = &item.trait_ else {
        let message = "`exhaustive` is an option of an implementation of a trait";
        return Err(Error::new_spanned(&item.self_ty, message));
    };
    let methods = item.items.iter().filter_map(|item| match item {
        ImplItem::Fn(method) => Some(method),
        _ => None,
    });
    let written: Vec<_> = methods
        .clone()
        .map(|method| method.sig.ident.to_string())
        .collect();
    // A method that is compiled under a condition is written under the same condition: otherwise
    // the trait's own, which passes on, would silently take its place.
    let written_if_compiled: Vec<_> = methods
        .map(|method| {
            let name = method.sig.ident.to_string();
            let is_condition = |attribute: &&Attribute| {
                ["cfg", "cfg_attr"]
                    .iter()
                    .any(|mark| attribute.path().is_ident(mark))
            };
            let conditions = method.attrs.iter().filter(is_condition);
            quote!(#(#conditions)* #name)
        })
        .collect();
    let has_inner = written.iter().any(|name| name == "inner");
    if let (false, Some(name)) = (has_inner, options.passed.first()) {
        let message = "a method that is passed on needs `fn inner`, which returns the repository";
        return Err(Error::new_spanned(name, message));
    }
    let twice = options
        .passed
        .iter()
        .find(|name| written.contains(&name.to_string()));
    if let Some(name) = twice {
        let message = "the method is written and also passed on";
        return Err(Error::new_spanned(name, message));
    }
    let passed = options.passed.iter().map(Ident::to_string);
    let ends = path
        .segments
        .last()
        .map(|segment| segment.ident.to_string());
    let name = ends.unwrap_or_default();
    Ok(Some(quote! {
        const _: () = ::wundr_db::__private::exhaustive::check(
            #name,
            <dyn #path>::METHODS,
            <dyn #path>::METHODS_OF_THE_OTHER_ENGINE,
            &[#(#written_if_compiled),*],
            &[#(#passed),*],
        );
    }))
}

/// Returns the names of a trait's methods, as constants of the trait object's type.
fn names_of_methods(item: &ItemTrait, others: &[String]) -> TokenStream {
    let name = &item.ident;
    let methods = item.items.iter().filter_map(|item| match item {
        TraitItem::Fn(method) => Some(method.sig.ident.to_string()),
        _ => None,
    });
    quote! {
        #[doc(hidden)]
        #[allow(dead_code)]
        impl dyn #name {
            #[doc(hidden)]
            pub const METHODS: &'static [&'static str] = &[#(#methods),*];
            #[doc(hidden)]
            pub const METHODS_OF_THE_OTHER_ENGINE: &'static [&'static str] = &[#(#others),*];
        }
    }
}

pub fn asynchronous(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    let is_observed = options.observed;
    match parse2(item)? {
        Item::Trait(mut item) => {
            options.expect_none("a trait")?;
            let names = names_of_methods(&item, &[]);
            forward_to_inner(&mut item, Flavour::Asynchronous)?;
            for method in methods_of(&mut item) {
                remove_marks(&mut method.attrs);
                if let Some(body) = &mut method.default {
                    box_future(&mut method.sig, body, None, false)?;
                }
            }
            Ok(quote!(#item #names))
        }
        Item::Impl(mut item) => {
            let exhaustive = exhaustive(&options, &item)?;
            let own = lifetime_of(&item.self_ty);
            let is_generic = item.trait_.is_none();
            let collection = collection_of(&item.self_ty);
            let mut observed = Vec::new();
            for method in item.items.iter_mut() {
                let ImplItem::Fn(method) = method else {
                    continue;
                };
                let is_unboxed = has_mark(&method.attrs, UNBOXED);
                remove_marks(&mut method.attrs);
                if is_unboxed {
                    continue;
                }
                let is_call = is_observed && method.sig.asyncness.is_some();
                box_future(&mut method.sig, &mut method.block, own.as_ref(), is_generic)?;
                if is_call {
                    observed.push(observed_twin(method, &collection, |call, method| {
                        let future = &method.block;
                        parse_quote!({
                            let call = #call;
                            crate::observation::observed(call, #future)
                        })
                    }));
                }
            }
            item.items.extend(observed);
            Ok(quote!(#item #exhaustive))
        }
        other => {
            options.expect_none("this item")?;
            Ok(quote!(#other))
        }
    }
}

pub fn blocking(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    let is_observed = options.observed;
    match parse2(item)? {
        Item::Trait(mut item) => {
            options.expect_none("a trait")?;
            let asynchronous_only: Vec<_> = methods_of(&mut item)
                .filter(|method| has_mark(&method.attrs, ASYNCHRONOUS_ONLY))
                .map(|method| method.sig.ident.to_string())
                .collect();
            item.items.retain(|method| !matches!(method, TraitItem::Fn(method) if has_mark(&method.attrs, ASYNCHRONOUS_ONLY)));
            let names = names_of_methods(&item, &asynchronous_only);
            forward_to_inner(&mut item, Flavour::Blocking)?;
            let item = without_async(quote!(#item));
            Ok(quote!(#item #names))
        }
        Item::Impl(mut item) => {
            item.items.retain(|method| !matches!(method, ImplItem::Fn(method) if has_mark(&method.attrs, ASYNCHRONOUS_ONLY)));
            let exhaustive = exhaustive(&options, &item)?;
            let collection = collection_of(&item.self_ty);
            let mut observed = Vec::new();
            for method in item.items.iter_mut() {
                let ImplItem::Fn(method) = method else {
                    continue;
                };
                remove_marks(&mut method.attrs);
                if is_observed && method.sig.asyncness.is_some() {
                    observed.push(observed_twin(method, &collection, |call, method| {
                        let body = &method.block;
                        let output = match &method.sig.output {
                            ReturnType::Default => quote!(()),
                            ReturnType::Type(_, output) => quote!(#output),
                        };
                        parse_quote!({
                            let call = #call;
                            let work = move || -> #output { #body };
                            crate::observation::observed_now(call, work)
                        })
                    }));
                }
            }
            item.items.extend(observed);
            let item = without_async(quote!(#item));
            Ok(quote!(#item #exhaustive))
        }
        other => {
            options.expect_none("this item")?;
            Ok(without_async(quote!(#other)))
        }
    }
}

/// Splits a method in two, of which one is compiled: as it is without observation, and with a body
/// that observes it. `observe` returns that body. The calls of a cached repository have spans of
/// their own, around those of the repository in the database.
fn observed_twin(
    method: &mut ImplItemFn,
    collection: &str,
    observe: impl FnOnce(TokenStream, &ImplItemFn) -> Block,
) -> ImplItem {
    let name = method.sig.ident.to_string();
    let cached = ["cached_", "aging_"];
    let cached = cached.iter().find_map(|kind| collection.strip_prefix(kind));
    let (collection, summary, begin) = match cached {
        Some(collection) => (
            collection,
            format!("cached.{collection}.{name}"),
            quote!(begin_cached),
        ),
        None => (collection, format!("{collection}.{name}"), quote!(begin)),
    };
    let call = quote!(self.0.observer().#begin(crate::observation::Method {
        collection: #collection,
        name: #name,
        summary: #summary,
    }));
    let mut twin = method.clone();
    twin.block = observe(call, method);
    let with: Attribute = parse_quote!(#[cfg(any(feature = "tracing", feature = "metrics"))]);
    let without: Attribute =
        parse_quote!(#[cfg(not(any(feature = "tracing", feature = "metrics")))]);
    twin.attrs.push(with);
    method.attrs.push(without);
    ImplItem::Fn(twin)
}

/// Returns the name of the table or view of a repository: `analysis_issues` of
/// `AnalysisIssues<'_>`, `project_stats` of `ProjectStatsView<'_>`.
fn collection_of(r#type: &Type) -> String {
    let Type::Path(path) = r#type else {
        return String::new();
    };
    let Some(segment) = path.path.segments.last() else {
        return String::new();
    };
    let mut name = String::new();
    for character in segment.ident.to_string().chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    name.trim_end_matches("_view").to_owned()
}

#[derive(Clone, Copy, PartialEq)]
enum Flavour {
    Asynchronous,
    Blocking,
}

fn has_mark(attributes: &[Attribute], mark: &str) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident(mark))
}

/// Removes the marks, which rustc does not know.
fn remove_marks(attributes: &mut Vec<Attribute>) {
    attributes.retain(|attribute| {
        !attribute.path().is_ident(ASYNCHRONOUS_ONLY) && !attribute.path().is_ident(UNBOXED)
    });
}

fn methods_of(item: &mut ItemTrait) -> impl Iterator<Item = &mut TraitItemFn> {
    item.items.iter_mut().filter_map(|item| match item {
        TraitItem::Fn(method) => Some(method),
        _ => None,
    })
}

/// Gives every method without a body one that calls the inner repository, and adds the method
/// `inner`.
fn forward_to_inner(item: &mut ItemTrait, flavour: Flavour) -> Result<()> {
    let name = item.ident.clone();
    for method in methods_of(item).filter(|method| method.default.is_none()) {
        let function = &method.sig.ident;
        let arguments = argument_names(&method.sig)?;
        let path = format!("{name}::{function}");
        let awaited = method.sig.asyncness.map(|_| quote!(.await));
        let refusal = match method.sig.asyncness {
            None if flavour == Flavour::Asynchronous => {
                quote!(::wundr_db::RowStream::failed(error))
            }
            _ => quote!(::core::result::Result::Err(error)),
        };
        method.default = Some(parse_quote!({
            match self.inner() {
                ::core::option::Option::Some(inner) => inner.#function(#(#arguments),*) #awaited,
                ::core::option::Option::None => {
                    let error = ::wundr_db::Error::Unsupported { method: #path };
                    #refusal
                }
            }
        }));
        method.semi_token = None;
    }
    let doc = "Returns the inner repository of a decorator.\n\n\
         Methods that the decorator does not implement call it. Without an inner repository, such a method \
         returns `Error::Unsupported` with the method's name. So a test double \
         implements only the methods that its test needs.";
    item.items.push(parse_quote! {
        #[doc = #doc]
        fn inner(&self) -> ::core::option::Option<&dyn #name> {
            ::core::option::Option::None
        }
    });
    Ok(())
}

fn argument_names(signature: &Signature) -> Result<Vec<TokenStream>> {
    signature
        .inputs
        .iter()
        .filter_map(|argument| match argument {
            FnArg::Receiver(_) => None,
            FnArg::Typed(argument) => Some(match &*argument.pat {
                Pat::Ident(name) => {
                    let name = &name.ident;
                    Ok(quote!(#name))
                }
                other => Err(Error::new_spanned(other, "expected a plain argument name")),
            }),
        })
        .collect()
}

/// Returns the first lifetime argument of a type: `'a` of `Ingest<'a>`.
fn lifetime_of(r#type: &Type) -> Option<Lifetime> {
    let Type::Path(path) = r#type else {
        return None;
    };
    match &path.path.segments.last()?.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Lifetime(lifetime) => Some(lifetime.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Turns `async fn f(&self, x: &T) -> R` into `fn f<'a>(&'a self, x: &'a T) -> BoxFuture<'a, R>`.
///
/// The future of a method that takes `self` by value has the lifetime argument of `self`. A generic
/// method is not one of a trait, and everything that it names outlives the future.
fn box_future(
    signature: &mut Signature,
    body: &mut Block,
    own: Option<&Lifetime>,
    is_generic: bool,
) -> Result<()> {
    if signature.asyncness.take().is_none() {
        return Ok(());
    }
    if !signature.generics.params.is_empty() {
        if !is_generic {
            return Err(Error::new_spanned(
                &signature.generics,
                "a repository's methods cannot be generic",
            ));
        }
        return box_generic_future(signature, body);
    }
    let inputs = &signature.inputs;
    let borrowed = count_references(quote!(#inputs));
    let lifetime: Lifetime = match (borrowed, own) {
        (0, Some(own)) => own.clone(),
        (0 | 1, _) => parse_quote!('_),
        _ => parse_quote!('a),
    };
    if borrowed > 1 {
        signature.generics = parse_quote!(<'a>);
        let inputs = with_lifetime(quote!(#inputs));
        let parsed: Signature = parse2(quote!(fn f(#inputs)))?;
        signature.inputs = parsed.inputs;
    }
    let output = match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, output) => quote!(#output),
    };
    signature.output = parse_quote!(-> ::wundr_db::BoxFuture<#lifetime, #output>);
    let statements = &body.stmts;
    *body = match future_of(statements) {
        Some(future) => parse_quote!({ #future }),
        None => parse_quote!({ ::std::boxed::Box::pin(async move { #(#statements)* }) }),
    };
    Ok(())
}

/// Turns `async fn f<Q>(&self, q: Q) -> R` into
/// `fn f<'a, Q>(&'a self, q: Q) -> BoxFuture<'a, R> where Q: 'a`.
fn box_generic_future(signature: &mut Signature, body: &mut Block) -> Result<()> {
    let inputs = &signature.inputs;
    let inputs = with_lifetime(quote!(#inputs));
    let parsed: Signature = parse2(quote!(fn f(#inputs)))?;
    signature.inputs = parsed.inputs;
    let outliving: Vec<WherePredicate> = signature
        .generics
        .params
        .iter()
        .filter_map(|parameter| match parameter {
            GenericParam::Lifetime(parameter) => {
                let lifetime = &parameter.lifetime;
                Some(parse_quote!(#lifetime: 'a))
            }
            GenericParam::Type(parameter) => {
                let name = &parameter.ident;
                Some(parse_quote!(#name: 'a))
            }
            GenericParam::Const(_) => None,
        })
        .collect();
    signature.generics.params.insert(0, parse_quote!('a));
    signature
        .generics
        .make_where_clause()
        .predicates
        .extend(outliving);
    let output = match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, output) => quote!(#output),
    };
    signature.output = parse_quote!(-> ::wundr_db::BoxFuture<'a, #output>);
    let statements = &body.stmts;
    *body = parse_quote!({ ::std::boxed::Box::pin(async move { #(#statements)* }) });
    Ok(())
}

/// The methods of the executor that return a boxed future.
const BOXED: [&str; 4] = ["execute", "first", "load", "one"];

/// Returns the future that a body awaits, if it does nothing else: `self.0.first(...).await`. To
/// box it once more would cost an allocation, and the compiler a type for each method.
fn future_of(body: &[Stmt]) -> Option<&Expr> {
    let [Stmt::Expr(Expr::Await(awaited), None)] = body else {
        return None;
    };
    let Expr::MethodCall(call) = &*awaited.base else {
        return None;
    };
    let receiver = &call.receiver;
    let arguments = &call.args;
    let is_boxed = BOXED.iter().any(|name| call.method == name)
        && quote!(#receiver).to_string() == quote!(self.0).to_string()
        && !depends_on_body(quote!(#arguments));
    is_boxed.then_some(&*awaited.base)
}

/// Checks whether arguments may borrow from the body, or leave it.
fn depends_on_body(arguments: TokenStream) -> bool {
    arguments.into_iter().any(|token| match token {
        TokenTree::Group(group) => depends_on_body(group.stream()),
        TokenTree::Ident(word) => word == "await" || word == "return",
        token => is_punct(&token, '&') || is_punct(&token, '?'),
    })
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

fn count_references(tokens: TokenStream) -> usize {
    tokens
        .into_iter()
        .map(|token| match token {
            TokenTree::Group(group) => count_references(group.stream()),
            token => usize::from(is_punct(&token, '&')),
        })
        .sum()
}

fn with_lifetime(tokens: TokenStream) -> TokenStream {
    let mut tokens = tokens.into_iter().peekable();
    let mut named = TokenStream::new();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => {
                named.extend([regroup(&group, with_lifetime(group.stream()))])
            }
            token => {
                let reference = is_punct(&token, '&');
                named.extend([token]);
                if reference && !tokens.peek().is_some_and(|next| is_punct(next, '\'')) {
                    named.extend(quote!('a));
                }
            }
        }
    }
    named
}

fn regroup(group: &Group, stream: TokenStream) -> TokenTree {
    let mut regrouped = Group::new(group.delimiter(), stream);
    regrouped.set_span(group.span());
    TokenTree::Group(regrouped)
}

/// Removes `async` and `.await`. It works on tokens and not on syntax, to reach the arguments of
/// macro calls too.
fn without_async(tokens: TokenStream) -> TokenStream {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_word = |index: usize, word: &str| matches!(tokens.get(index), Some(TokenTree::Ident(ident)) if *ident == word);
    let is_block = |index: usize| matches!(tokens.get(index), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace);
    let mut stripped = TokenStream::new();
    let mut index = 0;
    while index < tokens.len() {
        if is_punct(&tokens[index], '.') && is_word(index + 1, "await") {
            index += 2;
            continue;
        }
        if is_word(index, "async") {
            index += if is_word(index + 1, "move") && is_block(index + 2) {
                2
            } else {
                1
            };
            continue;
        }
        stripped.extend([match &tokens[index] {
            TokenTree::Group(group) => regroup(group, without_async(group.stream())),
            token => token.clone(),
        }]);
        index += 1;
    }
    stripped
}
