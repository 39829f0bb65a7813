//! Turns an `async fn` into a function that returns a boxed future, or into a plain one.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::quote;
use syn::{
    Block, Error, Expr, GenericArgument, GenericParam, Lifetime, PathArguments, Result, ReturnType,
    Signature, Stmt, Type, WherePredicate, parse_quote, parse2,
};

/// Returns the first lifetime argument of a type: `'a` of `Ingest<'a>`.
pub fn lifetime_of(r#type: &Type) -> Option<Lifetime> {
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
pub fn box_future(
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
pub fn without_async(tokens: TokenStream) -> TokenStream {
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
