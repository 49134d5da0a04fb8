# Recorded with R 4.2: Rscript groups.R people.tsv > groups.json
# Analysis of covariance with HC3 errors, effect sizes, weights by known errors, Bayes factor.
suppressMessages({
  library(car); library(sandwich); library(emmeans); library(effectsize); library(metafor)
  library(BayesFactor); library(jsonlite)
})
people <- read.delim(commandArgs(TRUE)[1], na.strings = "n/a")
people$patient <- as.numeric(people$group == "FM")

region <- function(name) {
  d <- people[!is.na(people[[name]]), ]
  d$y <- d[[name]]; d$sd <- d[[paste0(name, "_sd")]]
  fit <- lm(y ~ age + sex + eTIV + patient, d)
  robust <- vcovHC(fit, "HC3")
  anova <- Anova(fit, type = 2, white.adjust = "hc3")
  d$group <- factor(d$group, c("FM", "HC"))
  by_group <- lm(y ~ age + sex + eTIV + group, d)
  means <- emmeans(by_group, "group", weights = "proportional",
                   at = list(age = mean(people$age), eTIV = mean(people$eTIV)))
  raw <- hedges_g(y ~ group, data = d, pooled_sd = TRUE)
  weighted <- rma(y, sei = sd, mods = ~ age + sex + eTIV + patient, data = d, method = "REML",
                  test = "knha", control = list(threshold = 1e-12, maxiter = 10000))
  slope <- lm(y ~ age + sex + eTIV + patient + age:patient, d)
  residuals <- residuals(fit)
  t_raw <- t.test(y ~ group, d, var.equal = TRUE)$statistic
  list(
    difference = unname(coef(fit)["patient"]), se = sqrt(robust["patient", "patient"]),
    F = anova["patient", "F"], p = anova["patient", "Pr(>F)"],
    classical_t = summary(fit)$coefficients["patient", "t value"],
    emmeans_difference = summary(pairs(means))$estimate,
    g_raw = raw$Hedges_g, g_raw_low = raw$CI_low, g_raw_high = raw$CI_high,
    bayes_factor = exp(ttest.tstat(t_raw, sum(d$patient), sum(1 - d$patient), rscale = sqrt(2) / 2)$bf),
    t_raw = unname(t_raw),
    weighted = weighted$beta["patient", 1], weighted_se = weighted$se[5], tau2 = weighted$tau2,
    cooks = max(cooks.distance(fit)), leverage = max(hatvalues(fit)),
    p_slope_age = coeftest_p(slope), p_levene = leveneTest(residuals, d$group)[1, "Pr(>F)"],
    p_shapiro = shapiro.test(residuals)$p.value,
    g_without = range(without(d))
  )
}
coeftest_p <- function(fit) {
  robust <- vcovHC(fit, "HC3")
  t <- coef(fit)["age:patient"] / sqrt(robust["age:patient", "age:patient"])
  unname(2 * pt(-abs(t), df.residual(fit)))
}
factor_j <- function(df) exp(lgamma(df / 2) - lgamma((df - 1) / 2)) / sqrt(df / 2)
without <- function(d) sapply(seq_len(nrow(d)), function(i) {
  fit <- lm(y ~ age + sex + eTIV + patient, d[-i, ])
  factor_j(df.residual(fit)) * coef(fit)["patient"] / sigma(fit)
})
partial <- function(subset, method) {
  d <- people[subset, ]
  parts <- c("putamen", "bdi", "age", "eTIV")
  values <- if (method == "spearman") sapply(d[parts], rank) else as.matrix(d[parts])
  a <- residuals(lm(values[, 1] ~ values[, 3:4])); b <- residuals(lm(values[, 2] ~ values[, 3:4]))
  r <- cor(a, b); df <- nrow(d) - 4; t <- r * sqrt(df / (1 - r^2))
  list(r = r, p = 2 * pt(-abs(t), df))
}
# A site's difference, pooled.
sites <- sapply(c("a", "b", "c"), function(site) {
  fit <- lm(putamen ~ age + patient, people[people$site == site, ])
  c(coef(fit)["patient"], sqrt(vcovHC(fit, "HC3")["patient", "patient"]))
})
pooled <- rma(sites[1, ], sei = sites[2, ], method = "REML", test = "knha",
              control = list(threshold = 1e-12, maxiter = 10000))
spread <- rma(c(-0.9, -0.1, -0.45, 0.2), sei = c(0.1, 0.12, 0.15, 0.1), method = "REML", test = "knha",
              control = list(threshold = 1e-12, maxiter = 10000))
p <- c(0.001, 0.02, 0.03, 0.2, 0.9, 0.04)
rubin <- mice::pool.scalar(c(0.31, 0.35, 0.28, 0.40, 0.33), c(0.11, 0.12, 0.10, 0.115, 0.11)^2,
                           n = 44, k = 5)
write_json(list(
  regions = list(putamen = region("putamen"), thalamus = region("thalamus"), caudate = region("caudate")),
  partial = list(pearson = partial(people$patient == 1, "pearson"),
                 spearman = partial(people$patient == 1, "spearman")),
  sites = list(difference = sites[1, ], se = sites[2, ], pooled = pooled$beta[1], pooled_se = pooled$se,
               low = pooled$ci.lb, high = pooled$ci.ub, tau2 = pooled$tau2, i2 = pooled$I2, p = pooled$pval),
  spread_sites = list(pooled = spread$beta[1], se = spread$se, tau2 = spread$tau2, i2 = spread$I2),
  fdr = p.adjust(p, "BH"),
  rubin = list(estimate = rubin$qbar, se = sqrt(rubin$t), df = rubin$df),
  power = list(power = power.t.test(22, 0.8, strict = TRUE)$power,
               n = power.t.test(delta = 0.5, power = 0.8, strict = TRUE)$n,
               d = power.t.test(22, power = 0.8, strict = TRUE)$delta)
), stdout(), digits = 15, auto_unbox = TRUE, pretty = TRUE)
