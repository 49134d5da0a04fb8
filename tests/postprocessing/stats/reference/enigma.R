# Recorded with R 4.2: Rscript enigma.R metr1_SubVol.csv cov.csv > enigma.json
# The real table of the ENIGMA toolbox, which is read from beside a checkout and not part of it.
suppressMessages({ library(sandwich); library(emmeans); library(effectsize); library(car); library(jsonlite) })
volumes <- read.csv(commandArgs(TRUE)[1]); people <- read.csv(commandArgs(TRUE)[2])
d <- merge(volumes, people[colnames(people) != "ICV"], by = "SubjID")
d$ICV <- d$ICV / 1000
names <- setdiff(colnames(volumes), c("SubjID", "ICV"))
write_json(sapply(names, function(name) {
  d$y <- d[[name]] / 1000
  fit <- lm(y ~ Age + Sex + ICV + Dx, d)
  table <- Anova(fit, type = 2, white.adjust = "hc3")
  raw <- hedges_g(d$y[d$Dx == 1], d$y[d$Dx == 0])
  means <- emmeans(fit, "Dx", at = list(Dx = c(1, 0)), cov.keep = character(0))
  list(difference = summary(pairs(means))$estimate, se = sqrt(vcovHC(fit, "HC3")["Dx", "Dx"]),
       p = table["Dx", "Pr(>F)"], control_mean = summary(means)$emmean[2],
       g_raw = raw$Hedges_g, g_raw_low = raw$CI_low, g_raw_high = raw$CI_high)
}, simplify = FALSE), stdout(), digits = 15, auto_unbox = TRUE, pretty = TRUE)
